package expr

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/transforms/row"
)

// typeOf is the type of a column in an expression.
var typeOf = map[row.Type]*cel.Type{
	row.TypeBool: cel.BoolType, row.TypeInt64: cel.IntType, row.TypeFloat64: cel.DoubleType, row.TypeNumeric: numericType,
	row.TypeString: cel.StringType, row.TypeBytes: cel.BytesType, row.TypeDate: dateType, row.TypeTimestamp: cel.TimestampType,
	row.TypeJSON: jsonType,
}

func columnType(t *cel.Type) (row.Type, bool) {
	for column, of := range typeOf {
		if of.IsExactType(t) {
			return column, true
		}
	}
	return row.TypeNull, false
}

// fromCell returns a cell as its column is seen by an expression.
func fromCell(c row.Cell, f row.Field) ref.Val {
	if c.IsNull() {
		if f.Required {
			return types.NewErr("column %s is NULL", f.Name)
		}
		return types.OptionalNone
	}
	v := valueOf(c)
	if f.Required || types.IsError(v) {
		return v
	}
	return types.OptionalOf(v)
}

func valueOf(c row.Cell) ref.Val {
	switch c.Type() {
	case row.TypeBool:
		v, _ := c.AsBool()
		return types.Bool(v)
	case row.TypeInt64:
		v, _ := c.AsInt64()
		return types.Int(v)
	case row.TypeFloat64:
		v, _ := c.AsFloat64()
		return types.Double(v)
	case row.TypeDate:
		v, _ := c.AsDate()
		return date{d: v}
	case row.TypeTimestamp:
		v, _ := c.AsTimestamp()
		return types.Timestamp{Time: v}
	}
	text, _ := c.AsText()
	switch c.Type() {
	case row.TypeNumeric:
		d, err := udecimal.Parse(text)
		if err != nil {
			return types.WrapErr(fmt.Errorf("read NUMERIC %q: %w", text, err))
		}
		return &numeric{d: d}
	case row.TypeBytes:
		return types.Bytes(text)
	case row.TypeJSON:
		return document{text: text}
	default:
		return types.String(text)
	}
}

// toCell returns a result as a cell.
func toCell(v ref.Val) (row.Cell, error) {
	switch v := v.(type) {
	case *types.Optional:
		if !v.HasValue() {
			return row.Null(), nil
		}
		return toCell(v.GetValue())
	case types.Bool:
		return row.Bool(bool(v)), nil
	case types.Int:
		return row.Int64(int64(v)), nil
	case types.Double:
		return row.Float64(float64(v)), nil
	case types.String:
		return row.String(string(v)), nil
	case types.Bytes:
		return row.Bytes(v), nil
	case types.Timestamp:
		return row.Timestamp(v.Time), nil
	case *numeric:
		return row.Numeric(v.String())
	case date:
		return row.Date(v.d), nil
	case document:
		return row.JSON(v.text), nil
	default:
		return row.Cell{}, fmt.Errorf("an expression gave %s, which no column can hold", v.Type())
	}
}
