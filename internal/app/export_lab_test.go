package app

import (
	"context"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/api"
	"ecluse/internal/lock"
	"ecluse/internal/wire"
)

// OpenLab opens a lock's folder alone, as a laboratory of a server.
func OpenLab(ctx context.Context, dir, id string, pin wire.Pin) (api.Lab, func() error, error) {
	l, err := lock.Open(ctx, dir, Tool())
	if err != nil {
		return api.Lab{}, nil, err
	}
	return api.Lab{ID: id, Lock: l, Door: account.NewDoor(ecluse.Digest(pin), id, l, l.Sessions())}, l.Shut, nil
}
