DELETE FROM {{.Table}} WHERE {{.Key}} = @key
