package conformance

import (
	"fmt"
	"regexp"
	"strings"
)

// complianceCase is one block of GoogleSQL's compliance tests.
type complianceCase struct {
	File     string   `json:"file"`
	Index    int      `json:"i"`
	SQL      string   `json:"sql"`
	Expected []string `json:"expected"`
	Kind     string   `json:"kind"`
	Prepare  bool     `json:"prepare"`
}

func (c *complianceCase) area() string { return strings.TrimSuffix(c.File, ".test") }

func (c *complianceCase) id() string { return fmt.Sprintf("googlesql/%s/%03d", c.area(), c.Index) }

// internalTypes are names of types that exist inside Google only, and the type
// of the service that holds their values. Tables are made of the latter; in a
// case such a type is refused, but for DOUBLE, which is FLOAT64.
var internalTypes = map[string]string{"DOUBLE": "FLOAT64", "FLOAT": "FLOAT64", "INT32": "INT64", "UINT32": "INT64", "UINT64": "INT64"}

var (
	tableTypes = regexp.MustCompile(`(?i)\b(DOUBLE|FLOAT|U?INT32|UINT64)\b`)
	caseTypes  = regexp.MustCompile(`(?i)\bDOUBLE\b`)
)

func (c *complianceCase) externalSQL() string {
	names := caseTypes
	if c.Prepare {
		names = tableTypes
	}
	return names.ReplaceAllStringFunc(c.SQL, func(name string) string { return internalTypes[strings.ToUpper(name)] })
}

// complianceFiles groups the cases by file: the cases of one share tables.
func complianceFiles() ([][]complianceCase, error) {
	cases, err := readCases[complianceCase]("compliance.jsonl.gz")
	if err != nil {
		return nil, err
	}
	var files [][]complianceCase
	for i, c := range cases {
		if i == 0 || c.File != cases[i-1].File {
			files = append(files, nil)
		}
		files[len(files)-1] = append(files[len(files)-1], c)
	}
	return files, nil
}

// runComplianceFile runs the cases of one file in a dataset of their own.
func (s *service) runComplianceFile(cases []complianceCase) ([]outcome, error) {
	dataset := "googlesql_" + cases[0].area()
	if err := s.createDataset(dataset); err != nil {
		return nil, err
	}
	var outcomes []outcome
	for i := range cases {
		c := &cases[i]
		if c.Prepare || c.Kind == "other" || len(c.Expected) == 0 {
			// Without its tables a case is refused; that is seen there.
			if _, err := s.query(dataset, c.externalSQL(), nil); err != nil {
				return nil, err
			}
			continue
		}
		o, err := s.runCompliance(dataset, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.id(), err)
		}
		o.id, o.source, o.area = c.id(), "GoogleSQL compliance", c.area()
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// nullElement reports whether a value of the rows is an array with a NULL in
// it, which a query may compute and the service refuses to answer with.
func nullElement(v value, outermost bool) bool {
	for _, e := range v.list {
		if e.null && v.isArray && !outermost || nullElement(e, false) {
			return true
		}
	}
	return false
}

func (s *service) runCompliance(dataset string, c *complianceCase) (outcome, error) {
	sql := c.externalSQL()
	got, err := s.query(dataset, sql, nil)
	if err != nil {
		return outcome{}, err
	}
	if c.Kind == "error" {
		return errorOutcome(got, c.Expected[0]), nil
	}
	var first error
	for _, text := range c.Expected {
		want, err := readExpected(text)
		if err != nil {
			return outcome{}, err
		}
		if got.Error != nil {
			if nullElement(want, true) && strings.HasPrefix(got.Error.Message, "Array cannot have a null element") {
				return outcome{class: right}, nil
			}
			continue
		}
		if err = matches(want, got); err == nil {
			return outcome{class: right}, nil
		} else if first == nil {
			first = err
		}
	}
	if got.Error != nil {
		return s.failureOutcome(got.Error, dataset, sql, nil)
	}
	return outcome{class: wrong, detail: fmt.Sprintf("%v\n%s\nwant %s\n got %s", first, sql, c.Expected[0], show(got))}, nil
}
