package expr

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/cloudact/convergence/transforms/row"
)

func decodeRune(s string) (rune, int) { return utf8.DecodeRuneInString(s) }

// Names are the columns or variables that expressions may use. It is made once for any
// number of expressions and safe for concurrent use.
type Names struct {
	schema row.Schema
	env    *cel.Env
	index  map[string]int
}

// Over returns the names of a schema. A column that is not required is an optional.
func Over(schema row.Schema) (*Names, error) {
	b, err := base()
	if err != nil {
		return nil, err
	}
	n := &Names{schema: schema, index: make(map[string]int, len(schema))}
	variables := make([]cel.EnvOption, 0, len(schema))
	for i, f := range schema {
		if _, dup := n.index[f.Name]; dup {
			return nil, fmt.Errorf("column %q is there twice", f.Name)
		}
		n.index[f.Name] = i
		t, ok := typeOf[f.Type]
		if !ok {
			return nil, fmt.Errorf("column %q has type %s, which expressions do not know", f.Name, f.Type)
		}
		if !f.Required {
			t = cel.OptionalType(t)
		}
		variables = append(variables, cel.Variable(f.Name, t))
	}
	if n.env, err = b.Extend(variables...); err != nil {
		return nil, fmt.Errorf("declare the columns of an expression: %w", err)
	}
	return n, nil
}

// Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	names    *Names
	program  cel.Program
	result   row.Type
	optional bool
	uses     []string
	pool     sync.Pool // of *activation
}

// Compile checks and compiles an expression. The error is Errors: all mistakes.
func (n *Names) Compile(text string) (*Program, error) {
	ast, issues := n.env.Compile(text)
	if issues != nil && issues.Err() != nil {
		return nil, found(text, issues)
	}
	p := &Program{names: n}
	t := ast.OutputType()
	if t.Kind() == types.OpaqueKind && t.TypeName() == types.OptionalType.TypeName() {
		p.optional, t = true, t.Parameters()[0]
	}
	var ok bool
	if p.result, ok = columnType(t); !ok {
		return nil, Errors{{Message: fmt.Sprintf("gives %s, which no column can hold", ast.OutputType())}}
	}
	program, err := n.env.Program(ast, cel.CustomDecoratorV2(decorate), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, Errors{{Message: constantError(err)}}
	}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		if reference.Name != "" && !slices.Contains(p.uses, reference.Name) {
			p.uses = append(p.uses, reference.Name)
		}
	}
	slices.Sort(p.uses)
	p.program = program
	p.pool.New = func() any { return &activation{index: n.index} }
	return p, nil
}

// Condition compiles an expression that must be true or false for every row.
func (n *Names) Condition(text string) (*Program, error) {
	p, err := n.Compile(text)
	if err != nil {
		return nil, err
	}
	if p.result != row.TypeBool {
		return nil, Errors{{Message: fmt.Sprintf("must be true or false, not %s", p.result)}}
	}
	if p.optional {
		return nil, Errors{{Message: "may be NULL; write ….orValue(false) to say what NULL means"}}
	}
	return p, nil
}

// Type returns the type of the result, and whether it may be NULL.
func (p *Program) Type() (t row.Type, nullable bool) { return p.result, p.optional }

// Uses returns the names that the expression uses, sorted.
func (p *Program) Uses() []string { return slices.Clone(p.uses) }

// Eval evaluates the expression over cells in the order of the schema. A NULL in a
// required column is an error, as are overflow, division by zero and text that does not
// convert.
func (p *Program) Eval(cells []row.Cell) (row.Cell, error) {
	if len(cells) != len(p.names.schema) {
		return row.Cell{}, fmt.Errorf("evaluate an expression over %d columns: the row has %d", len(p.names.schema), len(cells))
	}
	a := p.pool.Get().(*activation)
	a.cells, a.schema = cells, p.names.schema
	out, _, err := p.program.Eval(a)
	a.cells = nil
	p.pool.Put(a)
	if err != nil {
		return row.Cell{}, err
	}
	return toCell(out)
}

// Holds evaluates a Condition.
func (p *Program) Holds(cells []row.Cell) (bool, error) {
	c, err := p.Eval(cells)
	if err != nil {
		return false, err
	}
	v, ok := c.AsBool()
	if !ok {
		return false, fmt.Errorf("a condition gave %#v", c)
	}
	return v, nil
}

// activation resolves names to cells.
type activation struct {
	index  map[string]int
	schema row.Schema
	cells  []row.Cell
}

// ResolveName implements interpreter.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	i, ok := a.index[name]
	if !ok {
		return nil, false
	}
	return fromCell(a.cells[i], a.schema[i]), true
}

// Parent implements interpreter.Activation.
func (a *activation) Parent() interpreter.Activation { return nil }

// decorate gives == and != their meaning where an integer meets a numeric; the
// interpreter knows equality only as that of the left value.
func decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || call.Function() != operators.Equals && call.Function() != operators.NotEquals || len(call.Args()) != 2 {
		return i, nil
	}
	want := call.Function() == operators.Equals
	var equal functions.FunctionOp = func(args ...ref.Val) ref.Val {
		l, r := args[0], args[1]
		if _, left := l.(types.Int); left {
			if _, right := r.(*numeric); right {
				l, r = r, l
			}
		}
		e, ok := types.Equal(l, r).(types.Bool)
		if !ok {
			return types.MaybeNoSuchOverloadErr(r)
		}
		return types.Bool(bool(e) == want)
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), equal), nil
}

// constantError is what is wrong with a constant part of an expression, which is
// evaluated when it is compiled.
func constantError(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}
