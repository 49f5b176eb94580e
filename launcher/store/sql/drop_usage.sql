DELETE FROM `{{.Dataset}}.org_usage_quotas` WHERE usage_date < @before
