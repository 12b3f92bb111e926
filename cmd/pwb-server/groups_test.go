package main

import "testing"

func TestGroupCommands(t *testing.T) {
	s := newTranscript(t, "groups")
	s.run("token create provider --scope scim")
	s.both("group list")
	s.run("user add ada@acme.example --admin")
	s.run("group add 'Team Rocket'")
	s.run("group add Compilers --name compilers --gid 6000 --json")
	s.both("group list")
	s.both("group show pwb-admins")
	s.both("group show 6000")
	s.run("group show 'team rocket'")
	s.run("group set-gid compilers")
	s.run("group set-gid compilers 6500 --json")
	s.run("group set-gid compilers 6500")
	s.run("user add grace@acme.example --gid 6500")
	s.run("group set-gid compilers 6600")
	s.run("user show grace")
}

func TestGroupCommandsSayWhatIsWrong(t *testing.T) {
	s := newTranscript(t, "groups-wrong")
	s.run("token create provider --scope scim")
	s.run("group add Compilers --gid 6000")
	s.run("group show nothing-here")
	s.run("group add Compilers")
	s.run("group add Other --name compilers")
	s.run("group add Other --name 'Bad Name'")
	s.run("group add Other --gid 6000")
	s.run("group add Other --gid 1200")
	s.run("group add Other --gid 100")
	s.run("group add Other --gid 0")
	s.run("group add ''")
	s.run("group set-gid compilers 65000")
	s.run("group set-gid compilers none")
	s.run("group set-gid nothing-here")
	s.run("group")
}
