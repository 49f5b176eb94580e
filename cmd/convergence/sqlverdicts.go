package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cloudact/convergence/configs"
)

// mostVerdicts bounds how many statements are remembered; a service has a few hundred.
const mostVerdicts = 2048

// sqlVerdicts remembers what was found in statements. What is found depends on the text,
// the types of parameters, and the columns of the tables that the analyzer asks for; all
// of them are compared. It is safe for concurrent use.
type sqlVerdicts struct {
	mu    sync.Mutex
	byKey map[string]sqlVerdict
}

// told is what the analyzer was told of a table that it asked for.
type told struct {
	columns  []configs.SQLColumn
	declared bool
}

type sqlVerdict struct {
	asked  map[string]told
	result configs.SQLResult
}

// verdictKey holds everything but the tables. A value is no part of it: values are parameters.
func verdictKey(r configs.SQLRequest) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q\n", r.Project, r.Dataset)
	for _, p := range r.Params {
		fmt.Fprintf(&b, "%q %s\n", p.Name, p.Type)
	}
	b.WriteString(r.SQL)
	return b.String()
}

func (v *sqlVerdicts) find(r configs.SQLRequest) (configs.SQLResult, bool) {
	v.mu.Lock()
	found, ok := v.byKey[verdictKey(r)]
	v.mu.Unlock()
	if !ok {
		return configs.SQLResult{}, false
	}
	for table, told := range found.asked {
		if columns, declared := r.Tables[table]; declared != told.declared || !slices.Equal(columns, told.columns) {
			return configs.SQLResult{}, false
		}
	}
	return found.result, true
}

func (v *sqlVerdicts) keep(r configs.SQLRequest, asked map[string]told, result configs.SQLResult) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.byKey == nil || len(v.byKey) >= mostVerdicts {
		v.byKey = map[string]sqlVerdict{}
	}
	v.byKey[verdictKey(r)] = sqlVerdict{asked: asked, result: result}
}
