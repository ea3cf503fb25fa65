package nettest

import (
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

type socket int

func (s socket) Close() error { return unix.Close(int(s)) }

// keepPort takes a port on loopback without listening on it: connections to it are
// refused, and the kernel gives it to nobody else, so that a relay that was cut
// finds it again.
func keepPort() (io.Closer, string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, "", err
	}
	s := socket(fd)
	loopback := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		_ = s.Close()
		return nil, "", err
	}
	if err := unix.Bind(fd, loopback); err != nil {
		_ = s.Close()
		return nil, "", err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		_ = s.Close()
		return nil, "", err
	}
	port := name.(*unix.SockaddrInet4).Port
	return s, netip.AddrPortFrom(netip.AddrFrom4(loopback.Addr), uint16(port)).String(), nil
}
