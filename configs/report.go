package configs

// Report is a shipped SQL query over the tables of an organization's dataset. Its
// `{project}` and `{dataset}` are identifiers; @from and @to are DATE parameters, both
// inclusive, that the caller supplies.
type Report struct {
	Name string
	File string
	text string
}

func newReport(name, file string, text []byte) Report {
	return Report{Name: name, File: file, text: string(text)}
}
