package runconf

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxUserFile bounds /etc/passwd and /etc/group of an image.
const maxUserFile = 4 << 20

// identity is who the container's process will be.
type identity struct {
	user specs.User
	home string
}

// account is a line of /etc/passwd; passwd(5).
type account struct {
	name     string
	uid, gid uint32
	home     string
}

// group is a line of /etc/group; group(5).
type group struct {
	name    string
	gid     uint32
	members []string
}

// User resolves a user as it stands in an image's configuration.
func User(user string, rootfs Files) (specs.User, error) {
	who, err := lookupUser(user, rootfs)
	return who.user, err
}

// lookupUser resolves Config.User, one of user, uid, user:group, uid:gid,
// uid:group and user:gid (image-spec config.md); "" is uid 0.
//
// A number is an id and is compared with ids only: a line of the image's
// /etc/passwd that is *named* 1000 says nothing about uid 1000
// (CVE-2016-3697). A name that is not found is an error, as is a number out
// of range.
func lookupUser(user string, rootfs Files) (identity, error) {
	userPart, groupPart, _ := strings.Cut(user, ":")
	if userPart == "" {
		userPart = "0"
	}
	account, known, err := findAccount(userPart, rootfs)
	if err != nil {
		return identity{}, err
	}
	who := identity{user: specs.User{UID: account.uid, GID: account.gid}, home: account.home}
	if who.home == "" {
		who.home = "/"
	}
	if groupPart != "" {
		// Supplementary groups are ignored then; config.md.
		who.user.GID, err = findGroup(groupPart, rootfs)
		return who, err
	}
	if known {
		who.user.AdditionalGids, err = groupsOf(account, rootfs)
	}
	return who, err
}

// findAccount finds the first line of /etc/passwd for a user or uid. A uid
// needs none: known is false then, and the group 0.
func findAccount(user string, rootfs Files) (found account, known bool, err error) {
	id, numeric, err := parseID(user)
	if err != nil {
		return account{}, false, err
	}
	lines, err := readLines(rootfs, "/etc/passwd")
	if err != nil && !numeric {
		return account{}, false, err
	}
	for _, fields := range lines {
		a, ok := parseAccount(fields)
		if ok && ((numeric && a.uid == id) || (!numeric && a.name == user)) {
			return a, true, nil
		}
	}
	if !numeric {
		return account{}, false, errors.New("no such user in the image's /etc/passwd")
	}
	return account{uid: id}, false, nil
}

func findGroup(name string, rootfs Files) (uint32, error) {
	id, numeric, err := parseID(name)
	if err != nil || numeric {
		return id, err
	}
	lines, err := readLines(rootfs, "/etc/group")
	if err != nil {
		return 0, err
	}
	for _, fields := range lines {
		if g, ok := parseGroup(fields); ok && g.name == name {
			return g.gid, nil
		}
	}
	return 0, errors.New("no such group in the image's /etc/group")
}

// groupsOf lists the groups that name the account as a member. Without a
// readable /etc/group there are none.
func groupsOf(a account, rootfs Files) ([]uint32, error) {
	lines, err := readLines(rootfs, "/etc/group")
	if err != nil {
		return nil, err
	}
	var gids []uint32
	for _, fields := range lines {
		g, ok := parseGroup(fields)
		if ok && a.name != "" && slices.Contains(g.members, a.name) && !slices.Contains(gids, g.gid) {
			gids = append(gids, g.gid)
		}
	}
	return gids, nil
}

// parseID reads digits as an id; anything else is a name.
func parseID(s string) (id uint32, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	// -1 is "no change" to setuid's relatives, never somebody.
	if err != nil || n == math.MaxUint32 {
		return 0, true, fmt.Errorf("id %s is out of range", s)
	}
	return uint32(n), true, nil
}

func parseAccount(fields []string) (account, bool) {
	if len(fields) < 6 {
		return account{}, false
	}
	uid, ok1, err1 := parseID(fields[2])
	gid, ok2, err2 := parseID(fields[3])
	return account{name: fields[0], uid: uid, gid: gid, home: fields[5]}, ok1 && ok2 && err1 == nil && err2 == nil
}

func parseGroup(fields []string) (group, bool) {
	if len(fields) < 4 {
		return group{}, false
	}
	gid, ok, err := parseID(fields[2])
	return group{name: fields[0], gid: gid, members: strings.Split(fields[3], ",")}, ok && err == nil
}

// readLines splits a file like passwd(5) at newlines and colons; an absent
// one is empty.
func readLines(rootfs Files, unsafePath string) ([][]string, error) {
	data, err := rootfs.ReadFile(unsafePath, maxUserFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines [][]string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.Split(strings.TrimRight(line, "\r\n"), ":"))
	}
	return lines, nil
}
