//go:build linux && amd64

package faults

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe" //nolint:depguard // the kernel takes the filter by its address

	"golang.org/x/sys/unix"
)

// What the environment tells this test binary when it stands in for the program.
const (
	programEnv = "FAULTS_PROGRAM" // the program's file
	controlEnv = "FAULTS_CONTROL" // folder of what is asked of each part: PART.json
	filterEnv  = "FAULTS_FILTER"  // 1: be filtered from now on, and become the program; clock: time too
)

// how a durable write goes wrong.
type how string

const (
	killBefore  how = "killed before a write"
	killAfter   how = "killed after a write"
	errorBefore how = "a write fails"
	errorAfter  how = "a write is done, and said to fail"
	short       how = "a write is cut short"
	never       how = "counted"
)

// spec is what is asked of one process.
type spec struct {
	Below  string        // of all calls those count that change something below this folder
	Nth    int           // the call that goes wrong, from 1
	How    how           //
	Errno  syscall.Errno // of what fails
	Stays  bool          // it fails until the file "healed" is there
	Clocks bool          // the process's clock is wrong by the seconds in the file PART.shift
}

// standIn plays the program: it is traced when the folder says so.
func standIn() int {
	if os.Getenv(filterEnv) != "" {
		return filtered()
	}
	file, control := os.Getenv(programEnv), os.Getenv(controlEnv)
	part := partOf(os.Args[1:])
	if err := os.Setenv("TMPDIR", filepath.Join(os.TempDir(), part)); err != nil {
		return failed(err)
	}
	text, err := os.ReadFile(filepath.Join(control, part+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return failed(syscall.Exec(file, append([]string{file}, os.Args[1:]...), os.Environ())) //nolint:gosec // the program itself
	}
	var s spec
	if err := errors.Join(err, json.Unmarshal(text, &s)); err != nil {
		return failed(err)
	}
	t := &tracer{spec: s, control: control, part: part, within: map[int]*call{}, known: map[int]bool{}}
	if text, err := os.ReadFile(filepath.Join(control, part+".count")); err == nil { // of those before it
		t.count, _ = strconv.Atoi(string(text))
	}
	if _, err := os.Stat(filepath.Join(control, part+".fired")); err == nil {
		t.fired, t.count = true, max(t.count, s.Nth)
	}
	return t.run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "faults:", err)
	return 99
}

// partOf tells which process the arguments make.
func partOf(args []string) string {
	switch {
	case len(args) > 0 && args[0] == "serve":
		return "server"
	case len(args) > 2 && args[0] == "gate" && args[1] == "run":
		return filepath.Base(args[2])
	}
	return "command"
}

// filtered lets the kernel stop this thread at the calls that matter, and becomes
// the program.
func filtered() int {
	runtime.LockOSThread()
	clocks := os.Getenv(filterEnv) == "clock"
	f := filter(clocks)
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return failed(err)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return failed(e)
	}
	file := os.Getenv(programEnv)
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, filterEnv+"=") })
	return failed(syscall.Exec(file, append([]string{file}, os.Args[1:]...), env)) //nolint:gosec // the program itself
}

// byFile are calls with a file in their first argument, byPath with a path in the one
// of that number.
var (
	byFile = []uint64{unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE}
	byPath = map[uint64]int{unix.SYS_RENAME: 0, unix.SYS_RENAMEAT: 1, unix.SYS_RENAMEAT2: 1, unix.SYS_UNLINK: 0, unix.SYS_UNLINKAT: 1, unix.SYS_MKDIR: 0, unix.SYS_MKDIRAT: 1, unix.SYS_OPENAT: 1}
)

// filter is the kernel's program: those calls are traced, opening only when it makes a
// file, the clock only when it is the wall's.
func filter(clocks bool) []unix.SockFilter {
	const (
		nr, arg0, arg2 = 0, 16, 32
		allow, trace   = 0x7fff0000, 0x7ff00000
	)
	load := func(at uint32) unix.SockFilter { return unix.SockFilter{Code: 0x20, K: at} }
	same := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: 0x15, K: k, Jt: yes, Jf: no}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: 0x06, K: k} }
	f := []unix.SockFilter{load(nr)}
	for _, n := range byFile {
		f = append(f, same(uint32(n), 0, 1), ret(trace))
	}
	for n := range byPath {
		if n != unix.SYS_OPENAT {
			f = append(f, same(uint32(n), 0, 1), ret(trace))
		}
	}
	f = append(f, same(unix.SYS_OPENAT, 0, 4), load(arg2), unix.SockFilter{Code: 0x45, K: unix.O_CREAT, Jt: 0, Jf: 1}, ret(trace), ret(allow))
	if clocks {
		f = append(f, same(unix.SYS_CLOCK_GETTIME, 0, 3), load(arg0), same(0, 0, 1), ret(trace))
	}
	return append(f, ret(allow))
}

// tracer stands between a process and the kernel.
type tracer struct {
	spec    spec
	control string
	part    string
	main    int
	known   map[int]bool
	within  map[int]*call
	count   int
	fired   bool
	cutFile string // the file whose next write fails too
	shift   int64
	looked  time.Time
}

// call is one that a thread is in, and that is looked at again when it ends.
type call struct {
	regs  unix.PtraceRegs // as it began
	ends  how             // what then becomes of it
	clock bool
}

func (t *tracer) run() int {
	runtime.LockOSThread()
	signal.Ignore(unix.SIGTERM, unix.SIGINT) // the process ends when its standard input does
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	mode := "1"
	if t.spec.Clocks {
		mode = "clock"
	}
	c.Env = append(os.Environ(), filterEnv+"="+mode)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return failed(err)
	}
	t.main = c.Process.Pid
	t.known[t.main] = true
	var ws unix.WaitStatus
	if _, err := unix.Wait4(t.main, &ws, unix.WALL, nil); err != nil {
		return failed(err)
	}
	options := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.main, options); err != nil {
		return failed(err)
	}
	if err := unix.PtraceCont(t.main, 0); err != nil {
		return failed(err)
	}
	for {
		pid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return failed(err)
		case ws.Exited() && pid == t.main:
			t.note("count", strconv.Itoa(t.count))
			return ws.ExitStatus()
		case ws.Signaled() && pid == t.main:
			t.note("count", strconv.Itoa(t.count))
			return 128 + int(ws.Signal())
		case !ws.Stopped():
			delete(t.known, pid)
			delete(t.within, pid)
			continue
		}
		t.stopped(pid, ws)
	}
}

// note leaves word for the campaign.
func (t *tracer) note(what, text string) {
	if err := os.WriteFile(filepath.Join(t.control, t.part+"."+what), []byte(text), 0o600); err != nil {
		failed(err)
	}
}

// stopped looks at why a thread stands still, and lets it go on.
func (t *tracer) stopped(pid int, ws unix.WaitStatus) {
	sig, event := ws.StopSignal(), int(ws)>>16
	switch {
	case sig == unix.SIGTRAP|0x80:
		if c := t.within[pid]; c != nil {
			delete(t.within, pid)
			t.leave(pid, c)
		}
	case sig == unix.SIGTRAP && event == unix.PTRACE_EVENT_SECCOMP:
		if t.enter(pid) {
			_ = unix.PtraceSyscall(pid, 0)
			return
		}
	case sig == unix.SIGTRAP && event == unix.PTRACE_EVENT_EXEC:
		if t.spec.Clocks {
			if err := withoutVDSO(pid); err != nil {
				failed(err)
			}
		}
	case event != 0, sig == unix.SIGTRAP:
	case sig == unix.SIGSTOP && !t.known[pid]: // a thread begins so
		t.known[pid] = true
	default:
		if t.within[pid] != nil { // a signal while it is in a call
			_ = unix.PtraceSyscall(pid, int(sig))
			return
		}
		_ = unix.PtraceCont(pid, int(sig))
		return
	}
	if t.within[pid] != nil {
		_ = unix.PtraceSyscall(pid, 0)
		return
	}
	_ = unix.PtraceCont(pid, 0)
}

// enter looks at a call that begins, and tells whether its end is looked at too.
func (t *tracer) enter(pid int) bool {
	c := &call{}
	if unix.PtraceGetRegs(pid, &c.regs) != nil {
		return false
	}
	if c.regs.Orig_rax == unix.SYS_CLOCK_GETTIME {
		c.clock = true
		if t.wrong() != 0 {
			t.within[pid] = c
		}
		return t.within[pid] != nil
	}
	file := t.touches(pid, &c.regs)
	if file == "" {
		return false
	}
	t.count++
	c.ends = t.judge(file, &c.regs)
	if c.ends == "" {
		return false
	}
	regs := c.regs
	switch c.ends {
	case killBefore:
		t.kill()
		return false
	case errorBefore:
		regs.Orig_rax = ^uint64(0) // no call at all
	case short:
		regs.Rdx /= 2
	}
	if unix.PtraceSetRegs(pid, &regs) != nil {
		return false
	}
	t.within[pid] = c
	return true
}

// judge tells what becomes of a call.
func (t *tracer) judge(file string, regs *unix.PtraceRegs) how {
	s := &t.spec
	if s.How == never || s.Nth == 0 || t.count < s.Nth {
		return ""
	}
	if t.fired && (s.Stays || t.cutFile == file) {
		t.cutFile = ""
		if _, err := os.Stat(filepath.Join(t.control, "healed")); err == nil {
			s.Stays = false
			return ""
		}
		return errorBefore
	}
	if t.fired {
		return ""
	}
	kind := s.How
	if kind == short && (regs.Orig_rax != unix.SYS_WRITE && regs.Orig_rax != unix.SYS_PWRITE64 || regs.Rdx < 2) {
		return "" // the next that can be
	}
	t.fired = true
	t.note("fired", fmt.Sprintf("call %d, %d of %s", t.count, regs.Orig_rax, filepath.Base(file)))
	if kind == short {
		t.cutFile = file
	}
	return kind
}

// leave looks at a call that ends.
func (t *tracer) leave(pid int, c *call) {
	if c.clock {
		t.setClock(pid, uintptr(c.regs.Rsi))
		return
	}
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(pid, &regs) != nil {
		return
	}
	regs.Rdx = c.regs.Rdx
	switch c.ends {
	case killAfter:
		t.kill()
		return
	case errorBefore, errorAfter:
		regs.Rax = uint64(-int64(t.spec.Errno))
	}
	_ = unix.PtraceSetRegs(pid, &regs)
}

// kill ends the process and waits to be ended by who started it.
func (t *tracer) kill() {
	_ = unix.Kill(t.main, unix.SIGKILL)
	if t.part == "command" {
		return
	}
	for { // reap it, so that nothing of it is left; then stay, as its body would not
		var ws unix.WaitStatus
		if _, err := unix.Wait4(-1, &ws, unix.WALL, nil); errors.Is(err, unix.ECHILD) {
			break
		}
	}
	t.note("killed", "")
	for {
		time.Sleep(time.Hour)
	}
}

// touches is the file or path below the folder that a call changes, or "".
func (t *tracer) touches(pid int, regs *unix.PtraceRegs) string {
	var path string
	if n, ok := byPath[regs.Orig_rax]; ok {
		path = stringAt(pid, uintptr([]uint64{regs.Rdi, regs.Rsi}[n]))
		if !filepath.IsAbs(path) {
			if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
				path = filepath.Join(cwd, path)
			}
		}
	} else {
		path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, regs.Rdi))
	}
	if !strings.HasPrefix(path, t.spec.Below+"/") {
		return ""
	}
	return path
}

func stringAt(pid int, at uintptr) string {
	var s []byte
	buf := make([]byte, 64)
	for len(s) < 4096 {
		n, err := unix.PtracePeekData(pid, at+uintptr(len(s)), buf)
		if err != nil || n == 0 {
			return string(s)
		}
		if i := slices.Index(buf[:n], 0); i >= 0 {
			return string(append(s, buf[:i]...))
		}
		s = append(s, buf[:n]...)
	}
	return string(s)
}

// wrong is by how many seconds the process's clock is wrong now.
func (t *tracer) wrong() int64 {
	if now := time.Now(); now.Sub(t.looked) > 20*time.Millisecond {
		t.looked = now
		text, _ := os.ReadFile(filepath.Join(t.control, t.part+".shift"))
		t.shift, _ = strconv.ParseInt(string(text), 10, 64)
	}
	return t.shift
}

func (t *tracer) setClock(pid int, at uintptr) {
	b := make([]byte, 8)
	if _, err := unix.PtracePeekData(pid, at, b); err != nil {
		return
	}
	binary.LittleEndian.PutUint64(b, uint64(int64(binary.LittleEndian.Uint64(b))+t.shift))
	_, _ = unix.PtracePokeData(pid, at, b)
}

// withoutVDSO takes from a program that begins the page in which it would read clocks
// without the kernel.
func withoutVDSO(pid int) error {
	const sysinfo, ignore = 33, 1
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	word := func(at uint64) uint64 {
		b := make([]byte, 8)
		_, _ = unix.PtracePeekData(pid, uintptr(at), b)
		return binary.LittleEndian.Uint64(b)
	}
	at := regs.Rsp + 8*(1+word(regs.Rsp)+1) // past argc, argv and its end
	for word(at) != 0 {
		at += 8
	}
	for at += 8; word(at) != 0; at += 16 {
		if word(at) == sysinfo {
			b := make([]byte, 8)
			binary.LittleEndian.PutUint64(b, ignore)
			_, err := unix.PtracePokeData(pid, uintptr(at), b)
			return err
		}
	}
	return nil
}
