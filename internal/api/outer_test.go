package api

import (
	"fmt"
	"testing"
)

// TestNetworks: strangers are counted by network, of which a /64 is one.
func TestNetworks(t *testing.T) {
	t.Parallel()
	l, allowed := newLimits(), 0
	for i := range 200 {
		if l.stranger(fmt.Sprintf("[2001:db8::%x]:443", i+1)) {
			allowed++
		}
	}
	if allowed < 3*perNetwork || allowed > 4*perNetwork {
		t.Errorf("%d of one /64", allowed)
	}
	if !l.stranger("[2001:db8:0:1::1]:443") || !l.stranger("192.0.2.1:443") {
		t.Error("another network's are counted with them")
	}
}
