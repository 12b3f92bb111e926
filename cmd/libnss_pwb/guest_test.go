package main

import (
	"debug/elf"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoadingTheModuleStartsNothing(t *testing.T) {
	out, err := exec.Command(program(t, "load"), library(t)).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "threads 1, signals caught 0,") {
		t.Errorf("%s%v", out, err)
	}
}

func TestLoadingAndUnloadingTakesNoMemory(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	if out, err := n.run(t, "", program(t, "load"), "$LIB", "100"); err != nil {
		t.Errorf("%s%v", out, err)
	}
}

func TestTheLibraryShowsItsEntriesAlone(t *testing.T) {
	f, err := elf.Open(library(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if name, _ := f.DynString(elf.DT_SONAME); !slices.Equal(name, []string{"libnss_pwb.so.2"}) {
		t.Errorf("its name is %q", name)
	}
	if needed, _ := f.ImportedLibraries(); !slices.Equal(needed, []string{"libc.so.6"}) {
		t.Errorf("it needs %q", needed)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			got = append(got, strings.TrimPrefix(s.Name, "_nss_pwb_"))
		}
	}
	slices.Sort(got)
	want := strings.Fields("endgrent endpwent endspent getgrent_r getgrgid_r getgrnam_r getpwent_r getpwnam_r getpwuid_r getspent_r getspnam_r " +
		"initgroups_dyn setgrent setpwent setspent")
	if !slices.Equal(got, want) {
		t.Errorf("it shows %q", got)
	}
	if s := f.Section(".init_array"); s != nil && s.Size > 8 {
		t.Errorf(".init_array has %d bytes: something is started", s.Size)
	}
}

func TestALibraryThatStartsGoIsNotLinked(t *testing.T) {
	// The same script without the line that leaves the start out.
	script, err := os.ReadFile("asleep.ld")
	if err != nil {
		t.Fatal(err)
	}
	awake := strings.ReplaceAll(string(script), "go.o", "no-such-object.o")
	path := filepath.Join(t.TempDir(), "awake.ld")
	if err := os.WriteFile(path, []byte(awake), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := link(t, filepath.Join(t.TempDir(), "awake.so"), "asleep.ld")
	for i := range cmd.Args {
		if here, _ := os.Getwd(); strings.Contains(cmd.Args[i], "asleep.ld") {
			cmd.Args[i] = strings.ReplaceAll(cmd.Args[i], here+"/asleep.ld", path)
		}
	}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "still in .init_array") {
		t.Errorf("it is linked: %v\n%s", err, out)
	}
}

func TestThreadsAndTheirChildrenLookUpAtOnce(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.beat(t, state{flags: reachable | current, generation: 7})
	out, err := n.run(t, "", program(t, "hammer"), "$LIB", "2000")
	if err != nil || out != "1 threads\n" {
		t.Errorf("%s%v", out, err)
	}
}

func TestAHostWithoutDescriptorsIsToldSo(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.expect(t, "full", "", "pwnam ada 1024", "UNAVAIL ENOENT", "initgroups ada 5001 0", "UNAVAIL ENOENT", "spnam ada 1024", "UNAVAIL ENOENT")
}

func TestAHostWithoutStandardStreamsKeepsThemClosed(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 20000")
	n.listen(t, says(found(lisa)))
	n.expect(t, "closed", "", "pwnam ada 1024", adaLine, "pwnam lisa 1024", "SUCCESS "+lisa, "pwnam ada 10", "TRYAGAIN ERANGE")
}

func TestTheHostFindsUsersAndGroupsByGetent(t *testing.T) {
	if err := namespaces(); err != nil {
		t.Skip(err)
	}
	n := newNode(t)
	n.publish(t, sample())
	n.beat(t, state{flags: reachable | current, generation: 7})
	lib := filepath.Dir(library(t))
	for _, c := range []struct{ command, want string }{
		{"getent passwd ada", "ada:x:5001:5001:Ada Lovelace:/home/ada:/bin/bash"},
		{"getent passwd 5001", "ada:x:5001:5001:Ada Lovelace:/home/ada:/bin/bash"},
		{"getent passwd root", "root:x:0:0:root:/root:/bin/sh"},
		{"getent passwd nobodyhere || echo $?", "2"},
		{"getent group compilers", "compilers:x:6000:ada,countess"},
		{"getent group 6000", "compilers:x:6000:ada,countess"},
		{"getent initgroups ada", "ada                   6000 998 6001"},
		{"getent shadow ada", "ada:$6$salt$hash:19000:0:99999:7:::"},
		{"id ada", "uid=5001(ada) gid=5001(ada) groups=5001(ada),6000(compilers),998(docker),6001(languages)"},
		{"id -nG countess", "ada compilers"},
		{"setpriv --reuid 65534 --regid 65534 --clear-groups getent shadow ada || echo $?", "2"},
		{"setpriv --reuid 65534 --regid 65534 --clear-groups getent passwd ada", "ada:x:5001:5001:Ada Lovelace:/home/ada:/bin/bash"},
		{"setpriv --reuid ada --regid ada --init-groups id -G", "5001 998 6000 6001"},
		{"getent passwd | wc -l", "2"}, // enumeration is off
	} {
		// libnss_pwb.so.2 is found as glibc finds it; getent and id are not setuid.
		out, err := n.run(t, "", "env", "LD_LIBRARY_PATH="+lib, "sh", "-c", c.command)
		if err != nil || strings.TrimSpace(out) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.command, out, err, c.want)
		}
	}
	n.configure(t, "enumerate = 1")
	if out, err := n.run(t, "", "env", "LD_LIBRARY_PATH="+lib, "sh", "-c", "getent passwd | cut -d: -f1 | tr '\\n' ' '"); err != nil ||
		out != "root nobody ada countess grace.hopper-1 _nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn " {
		t.Errorf("getent passwd: %q, %v", out, err)
	}
}

func TestLoginLetsUsersOfTheIndexIn(t *testing.T) {
	if err := namespaces(); err != nil {
		t.Skip(err)
	}
	for _, tool := range []string{"login", "script"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 20000")
	n.helper(t, n.answering())
	for _, kind := range []string{"auth", "account", "session"} {
		for _, service := range []string{"login", "other"} {
			path := n.path("etc", "pam.d", service)
			before, _ := os.ReadFile(path)
			write(t, path, append(before, kind+" required pam_permit.so\n"...), 0o644)
		}
	}
	write(t, n.path("etc", "login.defs"), []byte("DEFAULT_HOME yes\n"), 0o644)
	lib := filepath.Dir(library(t))
	for who, want := range map[string]string{
		"ada":  "uid=5001 gid=5001 groups=5001,998,6000,6001",
		"lisa": "uid=5050 gid=5050 groups=5050,5051,6000", // of nss-live
	} {
		// login(1) passes no LD_LIBRARY_PATH on, so that the shell knows numbers alone.
		out, err := n.run(t, "id\nexit\n", "env", "LD_LIBRARY_PATH="+lib, "script", "-qec", "login -f "+who, "/dev/null")
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", who, err, out)
		}
	}
}

func TestValgrindFindsNothing(t *testing.T) {
	if _, err := exec.LookPath("valgrind"); err != nil {
		t.Skip("valgrind is not installed: apt-get install valgrind")
	}
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 20000", "enumerate = 1")
	n.listen(t, func(request string, to net.Conn) {
		fmt.Fprint(to, map[string]string{
			"pwb1 passwd name lisa\n":     found(lisa),
			"pwb1 group name team\n":      found("team:x:5051:ada,lisa"),
			"pwb1 initgroups name lisa\n": found("5051 998"),
		}[request])
	})
	script := strings.Join([]string{
		"pwnam ada 1024", "pwnam ada 20", "pwuid 5001 1024", "grnam compilers 1024", "grgid 6000 1024", "spnam ada 1024", "initgroups ada 5001 0",
		"setpwent", "pwent 0 1024", "pwent 0 1024", "grent 0 1024", "spent 0 1024", "endpwent", "sizes grnam compilers 96",
		"pwnam lisa 1024", "grnam team 1024", "initgroups lisa 5050 0", "pwnam Ada 10", "pwuid 0 10",
	}, "\n")
	out, err := n.run(t, script, "valgrind", "-q", "--error-exitcode=9", "--leak-check=no", "--child-silent-after-fork=yes", program(t, "driver"), "$LIB")
	if err != nil || strings.Count(out, "SUCCESS") < 10 {
		t.Errorf("%v\n%s", err, out)
	}
}
