package app

import (
	"context"

	"ecluse/internal/config"
)

func (r *Room) grants(_ context.Context, q GrantsRequest, c *config.Gate) (string, error) {
	return "", unknownEngine(c, "granted "+q.Verb+" rights on")
}
