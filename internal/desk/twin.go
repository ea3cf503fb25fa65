package desk

import (
	"context"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/gate"
)

// TwinView is what a mapping made of invented rows, by the target gate's signature.
type TwinView struct {
	Digest ecluse.Digest `json:"statement"`
	*gate.TwinStatement
}

// Twin has invented rows taken through the mapping in force.
func (d *Desk) Twin(ctx context.Context, m ecluse.MigrationID) (*TwinView, error) {
	l, m, err := d.at(ctx, m)
	if err != nil {
		return nil, err
	}
	_, target, err := gatesOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	signed, err := l.Twin(ctx, m)
	if err != nil {
		return nil, err
	}
	v := &TwinView{Digest: signed.Digest(), TwinStatement: &gate.TwinStatement{}}
	if err := evidence.ParseStatement(*signed, target, evidence.TwinFormat, v.TwinStatement); err != nil {
		return nil, err
	}
	if v.Migration != m {
		return nil, another("read the twin's statement", string(m), "it is of the migration "+string(v.Migration))
	}
	return v, nil
}
