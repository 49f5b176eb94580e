package analyze

import (
	"fmt"
	"sync"

	"github.com/goccy/go-googlesql"
)

// engine is the part of the analysis that is made once a process: language
// options, the catalog of built-in functions and the types seen so far.
type engine struct {
	lang     *googlesql.LanguageOptions
	factory  *googlesql.TypeFactory
	builtins *googlesql.SimpleCatalog

	mu    sync.Mutex
	types map[string]googlesql.Googlesql_TypeNode
}

// Features of the language that the service does not have, or whose types have
// no place in its results.
var disabledFeatures = []googlesql.LanguageFeature{
	googlesql.LanguageFeatureFeatureTimestampNanos,
	googlesql.LanguageFeatureFeatureTimestampPicos,
	googlesql.LanguageFeatureFeatureProtoBase,
	googlesql.LanguageFeatureFeatureV14UuidType,
	googlesql.LanguageFeatureFeatureV14MapType,
	googlesql.LanguageFeatureFeatureV14SqlGraph,
	googlesql.LanguageFeatureFeatureV14EnforceConditionalEvaluation,
}

var startEngine = sync.OnceValues(newEngine)

func newEngine() (*engine, error) {
	if err := googlesql.Init(); err != nil {
		return nil, fmt.Errorf("starting the SQL analyzer: %w", err)
	}
	e := &engine{types: map[string]googlesql.Googlesql_TypeNode{}}
	for _, step := range []func() error{e.initLanguage, e.initCatalog} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("starting the SQL analyzer: %w", err)
		}
	}
	return e, nil
}

func (e *engine) initLanguage() error {
	lang, err := googlesql.NewLanguageOptions()
	if err != nil {
		return err
	}
	e.lang = lang
	if err := lang.SetProductMode(googlesql.ProductModeProductExternal); err != nil {
		return err
	}
	if err := lang.EnableMaximumLanguageFeatures(); err != nil {
		return err
	}
	for _, f := range disabledFeatures {
		if err := lang.DisableLanguageFeature(f); err != nil {
			return err
		}
	}
	if err := lang.EnableReservableKeyword("QUALIFY", true); err != nil {
		return err
	}
	return lang.SetSupportsAllStatementKinds()
}

func (e *engine) initCatalog() error {
	factory, err := googlesql.NewTypeFactory()
	if err != nil {
		return err
	}
	e.factory = factory
	catalog, err := googlesql.NewSimpleCatalog("builtin", factory)
	if err != nil {
		return err
	}
	e.builtins = catalog
	return catalog.AddBuiltinFunctionsAndTypes(&googlesql.BuiltinFunctionOptions{LanguageOptions: e.lang})
}

// options returns fresh options: they are changed for every statement.
func (e *engine) options() (*googlesql.AnalyzerOptions, error) {
	o, err := googlesql.NewAnalyzerOptions2()
	if err != nil {
		return nil, err
	}
	steps := []func() error{
		func() error { return o.SetLanguage(e.lang) },
		o.CreateDefaultArenasIfNotSet,
		func() error {
			return o.SetErrorMessageMode(googlesql.ErrorMessageModeErrorMessageOneLine)
		},
		func() error {
			return o.SetParseLocationRecordType(googlesql.ParseLocationRecordTypeParseLocationRecordFullNodeScope)
		},
		func() error {
			return o.EnableRewrite(googlesql.ResolvedASTRewriteRewriteOrderByAndLimitInAggregate, false)
		},
		func() error { return o.SetPruneUnusedColumns(true) },
		// The zero time zone is UTC; the engine's own default is not.
		func() error { return o.SetDefaultTimeZone(&googlesql.TimeZone{}) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// typeNode returns the engine's type for GoogleSQL type text.
func (e *engine) typeNode(text string) (googlesql.Googlesql_TypeNode, error) {
	t, err := ParseType(text)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.makeType(t)
}

var simpleKinds = map[string]googlesql.TypeKind{
	"INT64": googlesql.TypeKindTypeInt64, "FLOAT64": googlesql.TypeKindTypeDouble,
	"BOOL": googlesql.TypeKindTypeBool, "STRING": googlesql.TypeKindTypeString,
	"BYTES": googlesql.TypeKindTypeBytes, "NUMERIC": googlesql.TypeKindTypeNumeric,
	"BIGNUMERIC": googlesql.TypeKindTypeBignumeric, "DATE": googlesql.TypeKindTypeDate,
	"DATETIME": googlesql.TypeKindTypeDatetime, "TIME": googlesql.TypeKindTypeTime,
	"TIMESTAMP": googlesql.TypeKindTypeTimestamp, "JSON": googlesql.TypeKindTypeJson,
	"INTERVAL": googlesql.TypeKindTypeInterval, "GEOGRAPHY": googlesql.TypeKindTypeGeography,
}

// makeType needs e.mu.
func (e *engine) makeType(t *Type) (googlesql.Googlesql_TypeNode, error) {
	key := t.String()
	if node, ok := e.types[key]; ok {
		return node, nil
	}
	node, err := e.buildType(t)
	if err != nil {
		return nil, err
	}
	e.types[key] = node
	return node, nil
}

func (e *engine) buildType(t *Type) (googlesql.Googlesql_TypeNode, error) {
	switch t.Name {
	case "ARRAY", "RANGE":
		elem, err := e.makeType(t.Elem)
		if err != nil {
			return nil, err
		}
		if t.Name == "RANGE" {
			return e.factory.MakeRangeType3(elem)
		}
		return e.factory.MakeArrayType2(elem)
	case "STRUCT":
		fields := make([]*googlesql.StructField, len(t.Fields))
		for i, f := range t.Fields {
			ft, err := e.makeType(f.Type)
			if err != nil {
				return nil, err
			}
			fields[i] = &googlesql.StructField{Name: f.Name, Type_: ft}
		}
		return e.factory.MakeStructType2(fields)
	}
	return e.factory.MakeSimpleType(simpleKinds[t.Name])
}
