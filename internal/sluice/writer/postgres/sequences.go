package postgres

import (
	"context"
	"fmt"
	"math/big"

	"ecluse"
	engine "ecluse/internal/sluice/engine/postgres"
)

// MoveSequences sets each sequence past the highest value of its column, or, of
// one that counts down, past the lowest; never back. A sequence that counts in
// steps stays on its steps.
func (s *session) MoveSequences(ctx context.Context, seqs []ecluse.ShapeSequence) error {
	for _, q := range seqs {
		if err := s.move(ctx, q); err != nil {
			return engine.Wrap(ctx, "move sequences", q.Sequence.String(), err)
		}
	}
	return nil
}

func (s *session) move(ctx context.Context, q ecluse.ShapeSequence) error {
	var v []string
	column := engine.Name(ecluse.TableName{Name: q.Column})
	err := s.conn.Each(ctx, fmt.Sprintf(`SELECT s.last_value, s.is_called, p.seqincrement, e.low, e.high
		FROM %[1]s AS s, pg_sequence AS p, (SELECT trunc(min(%[2]s)) AS low, trunc(max(%[2]s)) AS high FROM %[3]s) AS e WHERE p.seqrelid = $1::regclass`,
		engine.Name(q.Sequence), column, engine.Name(q.Table)), func(row []string) error { v = append(v, row...); return nil }, engine.Name(q.Sequence))
	if err != nil || v[3] == "" {
		return err // an empty table moves nothing
	}
	numbers := map[string]*big.Int{}
	for i, n := range []string{"last", "", "step", "low", "high"} {
		if n == "" {
			continue
		}
		value, ok := new(big.Int).SetString(v[i], 10)
		if !ok {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "move sequences", Where: q.Table.String() + "." + q.Column, Why: "it holds no whole numbers"}
		}
		numbers[n] = value
	}
	edge := numbers["high"]
	if numbers["step"].Sign() < 0 {
		edge = numbers["low"]
	}
	to, ok := past(numbers["last"], v[1] == "t", numbers["step"], edge)
	if !ok {
		return nil
	}
	return s.conn.Each(ctx, "SELECT setval($1::regclass, $2, true)", func([]string) error { return nil }, engine.Name(q.Sequence), to.String())
}

// past is the number that a sequence must have given out last so that this one,
// by which others judge it, is not before edge, and the next is past it; false
// when it already is so.
func past(last *big.Int, called bool, step, edge *big.Int) (*big.Int, bool) {
	missing := new(big.Int).Sub(edge, last)
	if step.Sign() < 0 {
		missing.Neg(missing)
	}
	if missing.Sign() < 0 || missing.Sign() == 0 && called {
		return nil, false
	}
	size := new(big.Int).Abs(step)
	steps := new(big.Int).Add(missing, size)
	steps.Sub(steps, big.NewInt(1)).Div(steps, size) // rounded up
	return steps.Mul(steps, step).Add(steps, last), true
}
