// Package alter takes an ALTER TABLE statement apart. It knows the grammar
// only: what a table is, and whether a column may go, is the caller's to know.
package alter

import (
	"fmt"
	"strings"
	"sync"

	"github.com/goccy/go-googlesql"
)

// Op is what one action of the statement does.
type Op int

// The actions that are told apart; every other is Unsupported.
const (
	Unsupported Op = iota
	AddColumn
	DropColumn
	SetOptions
	DropNotNull
)

// Action is one action. Text is GoogleSQL: the definition of the added column,
// the options in parentheses, or the name of what is not supported. Quiet says
// that IF EXISTS or IF NOT EXISTS stands there.
type Action struct {
	Op     Op
	Column string
	Text   string
	Quiet  bool
}

// Statement is ALTER TABLE. Table is the path as GoogleSQL text.
type Statement struct {
	Table    string
	IfExists bool
	Actions  []Action
}

// Is reports whether a statement begins as ALTER TABLE does, without parsing
// it.
func Is(sql string) bool {
	words := strings.Fields(sql[:min(len(sql), 64)])
	return len(words) > 1 && strings.EqualFold(words[0], "ALTER") && strings.EqualFold(words[1], "TABLE")
}

var parserOptions = sync.OnceValues(func() (*googlesql.ParserOptions, error) {
	if err := googlesql.Init(); err != nil {
		return nil, err
	}
	lang, err := googlesql.NewLanguageOptions()
	if err != nil {
		return nil, err
	}
	if err := lang.EnableMaximumLanguageFeatures(); err != nil {
		return nil, err
	}
	options, err := googlesql.NewAnalyzerOptions2()
	if err != nil {
		return nil, err
	}
	if err := options.SetLanguage(lang); err != nil {
		return nil, err
	}
	return options.GetParserOptions()
})

// Parse reads a statement for which Is holds. A mistake in the SQL is the
// caller's to report: its script was parsed before.
func Parse(sql string) (*Statement, error) {
	options, err := parserOptions()
	if err != nil {
		return nil, fmt.Errorf("starting the SQL parser: %w", err)
	}
	out, err := googlesql.ParseStatement(sql, options)
	if err != nil {
		return nil, fmt.Errorf("parsing ALTER TABLE: %w", err)
	}
	root, err := out.Statement()
	if err != nil {
		return nil, fmt.Errorf("parsing ALTER TABLE: %w", err)
	}
	node, ok := root.(*googlesql.ASTAlterTableStatement)
	if !ok {
		return nil, fmt.Errorf("parsing ALTER TABLE: it is a %T", root)
	}
	st, err := read(node)
	if err != nil {
		return nil, fmt.Errorf("reading ALTER TABLE: %w", err)
	}
	return st, nil
}

func read(node *googlesql.ASTAlterTableStatement) (*Statement, error) {
	st := &Statement{}
	path, err := node.Path()
	if err != nil {
		return nil, err
	}
	if st.Table, err = googlesql.Unparse(path); err != nil {
		return nil, err
	}
	if st.IfExists, err = node.IsIfExists(); err != nil {
		return nil, err
	}
	list, err := node.ActionList()
	if err != nil {
		return nil, err
	}
	n, err := list.NumChildren()
	if err != nil {
		return nil, err
	}
	for i := range n {
		child, err := list.Child(i)
		if err != nil {
			return nil, err
		}
		action, err := readAction(child)
		if err != nil {
			return nil, err
		}
		st.Actions = append(st.Actions, action)
	}
	return st, nil
}

func readAction(node googlesql.ASTNode) (Action, error) {
	switch n := node.(type) {
	case *googlesql.ASTAddColumnAction:
		return readAdd(n)
	case *googlesql.ASTDropColumnAction:
		quiet, err := n.IsIfExists()
		if err != nil {
			return Action{}, err
		}
		name, err := columnName(n.ColumnName())
		return Action{Op: DropColumn, Column: name, Quiet: quiet}, err
	case *googlesql.ASTAlterColumnDropNotNullAction:
		quiet, err := n.IsIfExists()
		if err != nil {
			return Action{}, err
		}
		name, err := columnName(n.ColumnName())
		return Action{Op: DropNotNull, Column: name, Quiet: quiet}, err
	case *googlesql.ASTSetOptionsAction:
		list, err := n.OptionsList()
		if err != nil {
			return Action{}, err
		}
		text, err := googlesql.Unparse(list)
		return Action{Op: SetOptions, Text: text}, err
	}
	name := "this action"
	if action, ok := node.(interface {
		GetSQLForAlterAction() (string, error)
	}); ok {
		var err error
		if name, err = action.GetSQLForAlterAction(); err != nil {
			return Action{}, err
		}
	}
	return Action{Op: Unsupported, Text: name}, nil
}

func readAdd(n *googlesql.ASTAddColumnAction) (Action, error) {
	if position, err := n.ColumnPosition(); err != nil || position != nil {
		return Action{Op: Unsupported, Text: "ADD COLUMN at a position"}, err
	}
	if fill, err := n.FillExpression(); err != nil || fill != nil {
		return Action{Op: Unsupported, Text: "ADD COLUMN with FILL USING"}, err
	}
	quiet, err := n.IsIfNotExists()
	if err != nil {
		return Action{}, err
	}
	definition, err := n.ColumnDefinition()
	if err != nil {
		return Action{}, err
	}
	name, err := columnName(definition.Name())
	if err != nil {
		return Action{}, err
	}
	text, err := googlesql.Unparse(definition)
	return Action{Op: AddColumn, Column: name, Text: text, Quiet: quiet}, err
}

func columnName(id *googlesql.ASTIdentifier, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return id.GetAsString()
}
