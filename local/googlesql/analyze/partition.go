package analyze

import (
	"strings"

	"github.com/goccy/go-googlesql"
)

// layoutNode is a CREATE TABLE with PARTITION BY and CLUSTER BY.
type layoutNode interface {
	PartitionByList() ([]googlesql.ResolvedExprNode, error)
	ClusterByList() ([]googlesql.ResolvedExprNode, error)
}

func (r *analysis) describeLayout(st *Statement, n layoutNode) error {
	partitions, err := n.PartitionByList()
	if err != nil {
		return err
	}
	if len(partitions) > 1 {
		return &Error{Message: "Only a single PARTITION BY expression is supported but found multiple"}
	}
	if len(partitions) == 1 {
		if st.Create.PartitionBy, err = r.partitionBy(partitions[0]); err != nil {
			return err
		}
	}
	clusters, err := n.ClusterByList()
	if err != nil {
		return err
	}
	for _, c := range clusters {
		name, err := columnName(c)
		if err != nil {
			return err
		}
		if name == "" {
			return &Error{Message: "CLUSTER BY expression must be a column"}
		}
		st.Create.ClusterBy = append(st.Create.ClusterBy, name)
	}
	return nil
}

// columnName is the name behind a column reference, empty for anything else.
func columnName(e googlesql.ResolvedExprNode) (string, error) {
	ref, ok := e.(*googlesql.ResolvedColumnRef)
	if !ok {
		return "", nil
	}
	col, err := ref.Column()
	if err != nil {
		return "", err
	}
	return col.Name()
}

func (r *analysis) partitionBy(e googlesql.ResolvedExprNode) (*PartitionBy, error) {
	name, err := columnName(e)
	if err != nil {
		return nil, err
	}
	if name != "" {
		return &PartitionBy{Column: name, Granularity: "DAY"}, nil
	}
	call, ok := e.(*googlesql.ResolvedFunctionCall)
	if !ok {
		return nil, r.badPartition()
	}
	f, err := call.Function()
	if err != nil {
		return nil, err
	}
	function, err := f.Name()
	if err != nil {
		return nil, err
	}
	args, err := call.ArgumentList()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, r.badPartition()
	}
	column, err := columnName(args[0])
	if err != nil {
		return nil, err
	}
	return r.partitionFunction(strings.ToLower(function), column, args)
}

func (r *analysis) partitionFunction(function, column string, args []googlesql.ResolvedExprNode) (*PartitionBy, error) {
	switch {
	case column == "":
	case function == "date" && len(args) == 1:
		return &PartitionBy{Column: column, Granularity: "DAY"}, nil
	case strings.HasSuffix(function, "_trunc") && len(args) >= 2:
		part, err := enumName(args[1])
		if err != nil {
			return nil, err
		}
		switch part {
		case "HOUR", "DAY", "MONTH", "YEAR":
			return &PartitionBy{Column: column, Granularity: part}, nil
		}
	case function == "range_bucket" && len(args) == 2:
		return r.rangePartition(column, args[1])
	}
	return nil, r.badPartition()
}

func (r *analysis) badPartition() error {
	return &Error{Message: "PARTITION BY expression must be DATE(<timestamp_column>), DATE(<datetime_column>), " +
		"DATETIME_TRUNC(<datetime_column>, DAY/HOUR/MONTH/YEAR), a DATE column, TIMESTAMP_TRUNC(<timestamp_column>, DAY/HOUR/MONTH/YEAR), " +
		"DATE_TRUNC(<date_column>, MONTH/YEAR), or RANGE_BUCKET(<int64_column>, GENERATE_ARRAY(<int64_value>, <int64_value>[, <int64_value>]))"}
}

// enumName is the name of an enum literal such as the part of DATE_TRUNC.
func enumName(e googlesql.ResolvedExprNode) (string, error) {
	lit, ok := e.(*googlesql.ResolvedLiteral)
	if !ok {
		return "", nil
	}
	v, err := lit.Value()
	if err != nil {
		return "", err
	}
	return v.EnumDisplayName()
}

func (r *analysis) rangePartition(column string, e googlesql.ResolvedExprNode) (*PartitionBy, error) {
	call, ok := e.(*googlesql.ResolvedFunctionCall)
	if !ok {
		return nil, r.badPartition()
	}
	args, err := call.ArgumentList()
	if err != nil {
		return nil, err
	}
	bounds := []int64{0, 0, 1}
	if len(args) < 2 || len(args) > 3 {
		return nil, r.badPartition()
	}
	for i, a := range args {
		text, err := r.literalText(a)
		if err != nil {
			return nil, err
		}
		if bounds[i], err = parseInt(text); err != nil {
			return nil, r.badPartition()
		}
	}
	return &PartitionBy{Column: column, IsRange: true, Start: bounds[0], End: bounds[1], Interval: bounds[2]}, nil
}
