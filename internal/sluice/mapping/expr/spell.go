package expr

import (
	"fmt"
	"math"
	"strconv"
)

func toText(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.spelled(a), nil
}

// spelled is a number or a boolean as text: 12, -0.50, true.
func (k *callSite) spelled(a Operand) Operand {
	t := widest(kText)
	switch a.Type.Kind {
	case kInt:
		return k.numToText("spell int", t, false, a, func(dst []byte, v int64) ([]byte, bool) { return strconv.AppendInt(dst, v, 10), true })
	case kBool:
		return k.numToText("spell bool", t, false, a, func(dst []byte, v int64) ([]byte, bool) { return strconv.AppendBool(dst, v != 0), true })
	case kDecimal:
		scale := a.Type.Scale
		return k.numToText(fmt.Sprintf("spell decimal %d", scale), t, false, a, func(dst []byte, v int64) ([]byte, bool) { return appendDecimal(dst, v, scale), true })
	case kFloat:
		single := 64
		if a.Type.Precision == 24 {
			single = 32
		}
		return k.numToText(fmt.Sprintf("spell float %d", single), t, false, a, func(dst []byte, v int64) ([]byte, bool) {
			return strconv.AppendFloat(dst, math.Float64frombits(uint64(v)), 'g', -1, single), true
		})
	}
	return k.textToText("spell number", t, false, a, func(dst, s []byte) ([]byte, []byte, bool) { return dst, s, true })
}

// appendDecimal spells v·10^−scale with all its digits.
func appendDecimal(dst []byte, v int64, scale int) []byte {
	if v < 0 {
		dst = append(dst, '-')
	}
	from := len(dst)
	dst = strconv.AppendUint(dst, magnitude(v), 10)
	for len(dst)-from <= scale {
		dst = append(dst, '0')
		copy(dst[from+1:], dst[from:])
		dst[from] = '0'
	}
	if scale > 0 {
		dst = append(dst, 0)
		copy(dst[len(dst)-scale:], dst[len(dst)-scale-1:])
		dst[len(dst)-scale-1] = '.'
	}
	return dst
}
