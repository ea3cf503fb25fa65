package expr

import (
	"fmt"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"ecluse"
)

// optionKind is the kind of the words that functions take, such as half_up.
const optionKind ecluse.DataKind = "option"

// Any of our values may be null. CEL's own types for int, string, bytes and bool
// (what its literals are) take null only when wrapped; abstract types always do.
var (
	celBool   = types.NewNullableType(types.BoolType)
	celInt    = types.NewNullableType(types.IntType)
	celText   = types.NewNullableType(types.StringType)
	celBytes  = types.NewNullableType(types.BytesType)
	celList   = types.NewListType(celText)
	celOption = types.NewOpaqueType("option")
)

// celType is how the type checker sees a kind; rows have a type per table.
func celType(k ecluse.DataKind) *types.Type {
	switch k {
	case ecluse.Bool:
		return celBool
	case ecluse.Int:
		return celInt
	case ecluse.Text:
		return celText
	case ecluse.Bytes:
		return celBytes
	case List:
		return celList
	case optionKind:
		return celOption
	}
	return types.NewOpaqueType(string(k))
}

// valueKinds are the kinds of record values, in the order of the reference.
func valueKinds() []ecluse.DataKind {
	return []ecluse.DataKind{
		ecluse.Bool, ecluse.Int, ecluse.Decimal, ecluse.Number, ecluse.Float, ecluse.Text,
		ecluse.Bytes, ecluse.Date, ecluse.Time, ecluse.Timestamp, ecluse.Instant,
	}
}

// stored tells the kinds kept as 64-bit integers from those kept as bytes.
func stored(k ecluse.DataKind) (integer bool) {
	switch k {
	case ecluse.Text, ecluse.Number, ecluse.Bytes, List:
		return false
	}
	return true
}

// rowName is the name of columns written with brackets: row['Date de naissance'].
const rowName = "row"

func rowType(table string) string { return "a row of " + table }

// provider tells the type checker the columns of look-up tables' rows and of the
// dataset itself.
type provider struct {
	fields map[string]map[string]*types.Type // by type name, by column
}

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.fields[name]; !ok {
		return nil, false
	}
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
}

func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	f, ok := p.fields[name]
	names := make([]string, 0, len(f))
	for n := range f {
		names = append(names, n)
	}
	return names, ok
}

func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	t, ok := p.fields[name][field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: t}, true
}

func (p *provider) FindIdent(string) (ref.Val, bool) { return nil, false }

func (p *provider) EnumValue(name string) ref.Val {
	return types.NewErr("%s", fmt.Sprintf("no enum %q", name))
}

func (p *provider) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("%s", fmt.Sprintf("no struct %q", name))
}
