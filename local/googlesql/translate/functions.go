package translate

// functions is every scalar function and operator that is supported, under the
// name the resolver gives it. What is not here is refused by name.
var functions = map[string]rule{}

func init() {
	for _, group := range []map[string]rule{
		operatorRules, conditionalRules, mathRules, textRules, jsonRules,
		arrayRules, dateRules, timestampRules, hashRules, trigRules, timeOfDayRules,
	} {
		for name, r := range group {
			if _, twice := functions[name]; twice {
				panic("translate: function " + name + " has two rules")
			}
			functions[name] = r
		}
	}
}

var conditionalRules = map[string]rule{
	"if":               template("CASE WHEN {0} THEN {1} ELSE {2} END"),
	"ifnull":           template("coalesce({0}, {1})"),
	"coalesce":         template("coalesce({*})"),
	"zeroifnull":       template("coalesce({0}, 0)"),
	"nullif":           comparing(template("nullif({0}, {1})")),
	"$case_no_value":   caseNoValue,
	"$case_with_value": comparing(caseWithValue),
	"error":            template("bq_raise(coalesce({0}, 'NULL'))"),
	"iferror":          trying("list_transform([TRY({'v': {0}})], lambda iferror: CASE WHEN iferror IS NULL THEN {1} ELSE iferror.v END)[1]"),
	"iserror":          trying("(TRY({'v': {0}}) IS NULL)"),
	"nulliferror":      trying("TRY({0})"),
	"generate_uuid":    template("CAST(uuid() AS VARCHAR)"),
	"rand":             template("random()"),
}

var hashRules = map[string]rule{
	"md5":         byType(map[string]string{"STRING": "unhex(md5({0}))", "BYTES": "unhex(md5({0}))"}),
	"sha1":        byType(map[string]string{"STRING": "unhex(sha1({0}))", "BYTES": "unhex(sha1({0}))"}),
	"sha256":      byType(map[string]string{"STRING": "unhex(sha256({0}))", "BYTES": "unhex(sha256({0}))"}),
	"sha512":      byType(map[string]string{"STRING": "bq_sha512(encode({0}))", "BYTES": "bq_sha512({0})"}),
	"to_hex":      template("lower(hex({0}))"),
	"from_hex":    template("bq_from_hex({0})"),
	"to_base64":   template("base64({0})"),
	"from_base64": template("from_base64({0})"),
}

var arrayRules = map[string]rule{
	"$make_array":              makeArray,
	"$array_at_offset":         template("bq_at_offset({0}, {1})"),
	"$array_at_ordinal":        template("bq_at_ordinal({0}, {1})"),
	"$safe_array_at_offset":    template("bq_safe_at({0}, {1} + 1)"),
	"$safe_array_at_ordinal":   template("bq_safe_at({0}, {1})"),
	"safe_array_at_offset":     template("bq_safe_at({0}, {1} + 1)"),
	"safe_array_at_ordinal":    template("bq_safe_at({0}, {1})"),
	"array_length":             template("len({0})"),
	"range_bucket":             rangeBucket,
	"array_reverse":            template("list_reverse({0})"),
	"array_concat":             arrayConcat,
	"array_to_string":          arrayToString,
	"generate_array":           generateArray,
	"generate_date_array":      generateDateArray,
	"generate_timestamp_array": generateTimestampArray,
}

var textRules = map[string]rule{
	"$like":              textOnly(`({0} LIKE {1} ESCAPE '\')`),
	"$not_like":          textOnly(`({0} NOT LIKE {1} ESCAPE '\')`),
	"$concat_op":         joined,
	"concat":             joined,
	"length":             byType(map[string]string{"STRING": "length({0})", "BYTES": "octet_length({0})"}),
	"char_length":        textOnly("length({0})"),
	"character_length":   textOnly("length({0})"),
	"byte_length":        byType(map[string]string{"STRING": "strlen({0})", "BYTES": "octet_length({0})"}),
	"octet_length":       byType(map[string]string{"STRING": "strlen({0})", "BYTES": "octet_length({0})"}),
	"lower":              textOnly("lower({0})"),
	"upper":              textOnly("upper(replace({0}, 'ß', 'SS'))"),
	"substr":             substr,
	"substring":          substr,
	"left":               textOnly("bq_left({0}, {1})"),
	"right":              textOnly("bq_right({0}, {1})"),
	"replace":            textOnly("replace({0}, {1}, {2})"),
	"trim":               trimmed("trim"),
	"ltrim":              trimmed("ltrim"),
	"rtrim":              trimmed("rtrim"),
	"starts_with":        textOnly("starts_with({0}, {1})"),
	"ends_with":          textOnly("ends_with({0}, {1})"),
	"instr":              byArgs(map[int]string{2: "CAST(strpos({0}, {1}) AS BIGINT)"}),
	"ascii":              textOnly("bq_ascii({0})"),
	"to_code_points":     textOnly("bq_code_points({0})"),
	"strpos":             textOnly("CAST(strpos({0}, {1}) AS BIGINT)"),
	"split":              split,
	"reverse":            textOnly("reverse({0})"),
	"repeat":             textOnly("bq_repeat({0}, {1})"),
	"lpad":               padded("lpad"),
	"rpad":               padded("rpad"),
	"chr":                template("chr(CAST({0} AS INTEGER))"),
	"unicode":            template("CASE WHEN {0} = '' THEN CAST('0' AS BIGINT) ELSE CAST(unicode({0}) AS BIGINT) END"),
	"regexp_contains":    textOnly("regexp_matches({0}, {1})"),
	"regexp_extract":     regexpExtract,
	"regexp_substr":      regexpExtract,
	"regexp_extract_all": regexpExtractAll,
	"regexp_replace":     textOnly("bq_regexp_replace({0}, {1}, {2})"),
}
