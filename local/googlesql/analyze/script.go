package analyze

import (
	"fmt"
	"strings"

	"github.com/goccy/go-googlesql"
)

// Script splits a script at its statement boundaries. A procedural construct
// (DECLARE, IF, LOOP and so on) is an *UnsupportedError naming it; a syntax
// mistake is an *Error.
func (a *Analyzer) Script(sql string) ([]StatementText, error) {
	e, err := startEngine()
	if err != nil {
		return nil, err
	}
	options, err := e.options()
	if err != nil {
		return nil, fmt.Errorf("making analyzer options: %w", err)
	}
	parserOptions, err := options.GetParserOptions()
	if err != nil {
		return nil, fmt.Errorf("making parser options: %w", err)
	}
	messages, err := options.ErrorMessageOptions()
	if err != nil {
		return nil, fmt.Errorf("making message options: %w", err)
	}
	out, err := googlesql.ParseScript(sql, parserOptions, messages)
	if err != nil {
		return nil, sqlError(err, Options{})
	}
	script, err := out.Script()
	if err != nil {
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	list, err := script.StatementListNode()
	if err != nil {
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	return scriptStatements(sql, list)
}

func scriptStatements(sql string, list *googlesql.ASTStatementList) ([]StatementText, error) {
	n, err := list.NumChildren()
	if err != nil {
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	statements := make([]StatementText, 0, n)
	for i := range n {
		node, err := list.Child(i)
		if err != nil {
			return nil, fmt.Errorf("reading the script: %w", err)
		}
		st, err := statementText(sql, node)
		if err != nil {
			return nil, err
		}
		statements = append(statements, st)
	}
	return statements, nil
}

func statementText(sql string, node googlesql.ASTNode) (StatementText, error) {
	start, end, err := astRange(node)
	if err != nil {
		return StatementText{}, fmt.Errorf("reading the script: %w", err)
	}
	if name := proceduralName(node); name != "" {
		return StatementText{}, unsupportedAt(sql, start, Options{}, name)
	}
	line, col := lineCol(sql, start)
	return StatementText{SQL: strings.TrimRight(sql[start:end], " \t\r\n"), Offset: start, Line: line, Col: col}, nil
}

// proceduralName names a statement that only the script interpreter can run.
func proceduralName(node googlesql.ASTNode) string {
	switch node.(type) {
	case *googlesql.ASTVariableDeclaration:
		return "DECLARE"
	case *googlesql.ASTSingleAssignment, *googlesql.ASTAssignmentFromStruct,
		*googlesql.ASTParameterAssignment, *googlesql.ASTSystemVariableAssignment:
		return "SET"
	case *googlesql.ASTIfStatement:
		return "IF"
	case *googlesql.ASTCaseStatement:
		return "CASE statement"
	case *googlesql.ASTWhileStatement:
		return "WHILE or LOOP"
	case *googlesql.ASTRepeatStatement:
		return "REPEAT"
	case *googlesql.ASTForInStatement:
		return "FOR IN"
	case *googlesql.ASTBeginEndBlock:
		return "BEGIN ... END"
	case *googlesql.ASTRaiseStatement:
		return "RAISE"
	case *googlesql.ASTReturnStatement:
		return "RETURN"
	case *googlesql.ASTBreakStatement, *googlesql.ASTContinueStatement:
		return "BREAK or CONTINUE"
	case *googlesql.ASTExecuteImmediateStatement:
		return "EXECUTE IMMEDIATE"
	case *googlesql.ASTCallStatement:
		return "CALL"
	}
	return ""
}

func astRange(node googlesql.ASTNode) (start, end int, err error) {
	from, err := node.StartLocation()
	if err != nil {
		return 0, 0, err
	}
	to, err := node.EndLocation()
	if err != nil {
		return 0, 0, err
	}
	first, err := from.GetByteOffset()
	if err != nil {
		return 0, 0, err
	}
	last, err := to.GetByteOffset()
	return int(first), int(last), err
}
