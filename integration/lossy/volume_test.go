package lossy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/powercut"
)

// These tests are about the volume without a kernel in front of it.

// testVolume is a blank one that keeps what it tells.
func testVolume(set Setting) (*volume, chan Notice) {
	told := make(chan Notice, 100)
	return newVolume(powercut.New(nil), map[int]uint32{}, set, func(n Notice) { told <- n }), told
}

func (v *volume) file(t *testing.T, name string) uint64 {
	t.Helper()
	n, errno := v.Create(name, syscall.S_IFREG|0o600)
	if errno != 0 {
		t.Fatal(errno)
	}
	return n.inode()
}

func (v *volume) write(t *testing.T, inode uint64, off int64, text string) {
	t.Helper()
	if errno := v.Write(inode, off, []byte(text)); errno != 0 {
		t.Fatal(errno)
	}
}

func (v *volume) read(t *testing.T, inode uint64) string {
	t.Helper()
	b := make([]byte, 100)
	n, errno := v.Read(inode, b, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return string(b[:n])
}

// left is what each of many power cuts leaves of the files.
func (v *volume) left() []string {
	states := map[string]bool{}
	for seed := range uint64(200) {
		disk, _ := v.Survivors(rand.New(rand.NewPCG(seed, 1)))
		state := ""
		for _, name := range disk.Names() {
			data, size := disk.Find(name).Content()
			state += fmt.Sprintf("%s=%s/%d ", name, data, size)
		}
		states[state] = true
	}
	return slices.Sorted(maps.Keys(states))
}

func TestSyncsMakeFilesAndNamesSafeEachItsOwn(t *testing.T) {
	for _, tt := range []struct {
		set  Setting
		want []string
	}{
		{Setting{}, []string{"a=xy/2 "}},
		{Setting{LieFile: true}, []string{"a=/0 ", "a=xy/2 "}},
		{Setting{LieDir: true}, []string{"", "a=xy/2 "}},
	} {
		v, _ := testVolume(tt.set)
		f := v.file(t, "a")
		v.write(t, f, 0, "xy")
		if errno := v.Sync(f); errno != 0 {
			t.Fatal(errno)
		}
		if errno := v.SyncDir(); errno != 0 {
			t.Fatal(errno)
		}
		if got := v.left(); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: power cuts leave %q, want %q", tt.set, got, tt.want)
		}
	}
}

func TestReadsGetHolesAsZerosAndWhatIsBehindTheEndNotAtAll(t *testing.T) {
	v, _ := testVolume(Setting{})
	f := v.file(t, "a")
	v.write(t, f, 2, "xyz")
	if errno := v.Truncate(f, 4); errno != 0 {
		t.Fatal(errno)
	}
	if errno := v.Allocate(f, 6); errno != 0 {
		t.Fatal(errno)
	}
	if got := v.read(t, f); got != "\x00\x00xy\x00\x00" {
		t.Errorf("read %q", got)
	}
	v.write(t, f, 7, "!")
	if got := v.read(t, f); got != "\x00\x00xy\x00\x00\x00!" {
		t.Errorf("read %q", got)
	}
	if n, errno := v.Read(f, make([]byte, 10), 8); n != 0 || errno != 0 {
		t.Errorf("%d bytes behind the end, %v", n, errno)
	}
}

func TestASyncThatFailsIsToldOnceAndWhatItLostIsGone(t *testing.T) {
	for _, keep := range []bool{false, true} {
		v, told := testVolume(Setting{KeepCache: keep})
		f := v.file(t, "a")
		v.write(t, f, 0, "x")
		if v.Sync(f) != 0 || v.SyncDir() != 0 {
			t.Fatal("a sync fails")
		}
		v.Fail(Fault{Call: Sync, Errno: syscall.EIO, N: 2})
		v.write(t, f, 0, "y")
		if errno := v.Sync(f); errno != 0 {
			t.Fatal(errno) // the first
		}
		v.write(t, f, 0, "z")
		if errno := v.Sync(f); errno != syscall.EIO {
			t.Errorf("the second sync: %v", errno)
		}
		if errno := v.Sync(f); errno != 0 {
			t.Errorf("the third sync: %v", errno)
		}
		if n := <-told; n.Failed != "sync of a: input/output error" || len(told) > 0 {
			t.Errorf("told %+v and %d more", n, len(told))
		}
		if got, want := v.read(t, f), map[bool]string{false: "y", true: "z"}[keep]; got != want {
			t.Errorf("KeepCache %v: read %q, want %q", keep, got, want)
		}
		if got := v.left(); !slices.Equal(got, []string{"a=y/1 "}) {
			t.Errorf("KeepCache %v: power cuts leave %q", keep, got)
		}
	}
}

func TestCallsFailFromTheOneThatWasNamedOnForAsLongAsTheFaultGoes(t *testing.T) {
	v, _ := testVolume(Setting{})
	f := v.file(t, "a")
	v.Fail(Fault{Call: Write, Errno: syscall.ENOSPC, N: 2, More: 1}, Fault{Call: Allocate, Errno: syscall.EIO, N: 1, More: -1})
	var got []syscall.Errno
	for range 4 {
		got = append(got, v.Write(f, 0, []byte("x")))
	}
	for range 3 {
		got = append(got, v.Allocate(f, 1))
	}
	v.Fail()
	got = append(got, v.Allocate(f, 1), v.Truncate(f, 0))
	const full, bad = syscall.ENOSPC, syscall.EIO
	if want := []syscall.Errno{0, full, full, 0, bad, bad, bad, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("calls end with %v, want %v", got, want)
	}
}

// Each row is a call at which the power is cut, and what cuts may leave of it.
func TestThePowerIsCutAtACallThatIsUnderWayOrOnlyNotAnswered(t *testing.T) {
	for _, tt := range []struct {
		m    Moment
		call func(v *volume, f uint64) syscall.Errno
		want []string
	}{
		{Moment{Call: Sync, N: 1}, (*volume).Sync, []string{"a=/0 ", "a=x/1 "}},
		{Moment{Call: Sync, N: 1, Done: true}, (*volume).Sync, []string{"a=x/1 "}},
		{Moment{N: 1, Done: true}, (*volume).Sync, []string{"a=x/1 "}},
		{Moment{Call: Write, N: 1}, func(v *volume, f uint64) syscall.Errno { return v.Write(f, 1, []byte("y")) },
			[]string{"a=\x00y/2 ", "a=/0 ", "a=x/1 ", "a=xy/2 "}},
		{Moment{Call: SyncDir, N: 1, Later: 2}, func(v *volume, f uint64) syscall.Errno {
			v.SyncDir()
			v.Truncate(f, 0)
			return v.Sync(f)
		}, []string{"a=/0 ", "a=x/1 "}},
		{Moment{Call: Rename, N: 1}, func(v *volume, _ uint64) syscall.Errno { return v.Rename("a", "b") },
			[]string{"a=/0 ", "a=x/1 ", "b=/0 ", "b=x/1 "}},
		{Moment{Call: Unlink, N: 1, Done: true}, func(v *volume, _ uint64) syscall.Errno { return v.Unlink("a") },
			[]string{"", "a=/0 ", "a=x/1 "}},
	} {
		v, told := testVolume(Setting{SyncTime: time.Microsecond})
		f := v.file(t, "a")
		if errno := v.SyncDir(); errno != 0 {
			t.Fatal(errno)
		}
		v.write(t, f, 0, "x")
		m := tt.m
		v.Arm(&m)
		ended := make(chan syscall.Errno, 1)
		go func() { ended <- tt.call(v, f) }()
		if n := <-told; n.Dark == "" {
			t.Errorf("%+v: told %+v", tt.m, n)
		}
		if len(ended) > 0 {
			t.Errorf("%+v: the call is answered in the dark", tt.m)
		}
		v.Abandon()
		if errno := <-ended; errno != syscall.EIO {
			t.Errorf("%+v: the call ends with %v", tt.m, errno)
		}
		if got := v.left(); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: power cuts leave %q, want %q", tt.m, got, tt.want)
		}
	}
}

// underWay is a sync of a file that holds "x", before its end: finish lets it end and says how.
func underWay(t *testing.T, m *Moment) (v *volume, told chan Notice, f uint64, finish func() syscall.Errno) {
	t.Helper()
	v, told = testVolume(Setting{SyncTime: time.Second})
	began, goOn, ended := make(chan bool), make(chan bool), make(chan syscall.Errno)
	v.pause = func(time.Duration) { began <- true; <-goOn }
	f = v.file(t, "a")
	v.write(t, f, 0, "x")
	v.Arm(m)
	go func() { ended <- v.Sync(f) }()
	<-began
	return v, told, f, func() syscall.Errno {
		goOn <- true
		select {
		case errno := <-ended:
			return errno
		case <-time.After(10 * time.Second):
			t.Fatal("the sync never ends")
			return 0
		}
	}
}

func TestASyncUnderWayWhenThePowerIsCutSavesNothing(t *testing.T) {
	v, _, _, finish := underWay(t, nil)
	v.CutPower()
	v.Abandon()
	if errno := finish(); errno != syscall.EIO {
		t.Errorf("the sync ends with %v", errno)
	}
	if got := v.left(); !slices.Equal(got, []string{"", "a=/0 ", "a=x/1 "}) {
		t.Errorf("power cuts leave %q", got)
	}
}

func TestAWriteDuringASyncIsNotSavedByIt(t *testing.T) {
	v, _, f, finish := underWay(t, nil)
	v.write(t, f, 1, "y")
	if errno := finish(); errno != 0 {
		t.Fatal(errno)
	}
	if got := v.left(); !slices.Equal(got, []string{"", "a=x/1 ", "a=xy/2 "}) {
		t.Errorf("power cuts leave %q", got)
	}
}

func TestAMomentThatIsTakenBackDoesNotComeAtTheEndOfASyncUnderWay(t *testing.T) {
	v, told, _, finish := underWay(t, &Moment{Call: Sync, N: 1, Done: true})
	v.Arm(nil)
	if errno := finish(); errno != 0 || len(told) > 0 {
		t.Errorf("the sync ends with %v, and %d notices", errno, len(told))
	}
}

func TestAfterTheEndOfThePowerEveryCallFails(t *testing.T) {
	v, _ := testVolume(Setting{})
	f := v.file(t, "a")
	v.CutPower()
	v.Abandon()
	_, find := v.Find("a")
	_, stat := v.Stat(f)
	_, made := v.Create("b", syscall.S_IFREG)
	_, read := v.Read(f, make([]byte, 1), 0)
	_, names := v.Names()
	_, used := v.Used()
	for i, errno := range []syscall.Errno{find, stat, made, read, names, used, v.Write(f, 0, nil), v.Truncate(f, 0), v.Allocate(f, 1),
		v.Sync(f), v.SyncDir(), v.Rename("a", "b"), v.Unlink("a"), v.Chmod(f, 0)} {
		if errno != syscall.EIO {
			t.Errorf("call %d: %v", i, errno)
		}
	}
}
