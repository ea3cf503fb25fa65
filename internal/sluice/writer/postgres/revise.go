package postgres

import (
	"context"

	"ecluse"
	"ecluse/internal/sluice/writer"
)

// Revise takes rows of loaded chunks out and brings new chunks in.
func (s *session) Revise(ctx context.Context, r *writer.Revision, beforeCommit func(ctx context.Context, refused [][]writer.Refusal) error) (*writer.Revised, error) {
	return nil, &ecluse.Error{Kind: ecluse.Failed, What: "bring in a later reading", Why: "not there yet"}
}
