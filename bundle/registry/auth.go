package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// Options say how registries are reached.
type Options struct {
	PlainHTTP bool
	AuthFile  string   // instead of those of podman and docker
	AuthHosts []string // other hosts that may be sent the credentials
	UserAgent string
}

// newClient makes the client for one repository.
func (o Options) newClient(host, repository string) (*auth.Client, error) {
	stores, err := o.credentialStores()
	if err != nil {
		return nil, err
	}
	guarded := &guard{next: retry.NewTransport(nil), host: host, also: o.AuthHosts}
	client := &auth.Client{
		Client: &http.Client{Transport: guarded},
		Cache:  auth.NewCache(),
		Credential: func(ctx context.Context, hostport string) (auth.Credential, error) {
			return lookUp(ctx, stores, hostport, repository)
		},
	}
	if isLoopback(host) {
		client.BlockedRealmPrefixes = []netip.Prefix{} // its token service is on this machine, too
	}
	if o.UserAgent != "" {
		client.SetUserAgent(o.UserAgent)
	}
	return client, nil
}

func isLoopback(hostport string) bool {
	host := hostname(hostport)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// guard is the last place before the network: it refuses to send credentials
// to a host that a registry, and not the user, has named. A token service may
// be another host of the same domain, as it is at Docker Hub.
type guard struct {
	next http.RoundTripper
	host string
	also []string
}

// ErrForeignHost says that a registry asked for credentials to be sent to
// another host.
var ErrForeignHost = errors.New("credentials are not sent to another host")

// RoundTrip implements [http.RoundTripper].
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if secret := r.Header.Get("Authorization") != "" || r.Method == http.MethodPost && isForm(r); secret && !g.trusts(r.URL.Host) {
		return nil, fmt.Errorf("registry %s: %w: %s (--auth-host %s allows it)", g.host, ErrForeignHost, r.URL.Host, hostname(r.URL.Host))
	}
	return g.next.RoundTrip(r)
}

// isForm tells the OAuth2 request, which has the secret in its body.
func isForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

func (g *guard) trusts(hostport string) bool {
	theirs, ours := hostname(hostport), hostname(g.host)
	if slices.Contains(g.also, theirs) || theirs == ours {
		return true
	}
	if _, err := netip.ParseAddr(ours); err == nil {
		return false
	}
	domain := parentDomain(ours)
	return domain != "" && (theirs == domain || strings.HasSuffix(theirs, "."+domain))
}

// parentDomain is the last two names of a host, which is what its operator
// owns at least; "" for names such as "registry", and under suffixes such as
// "co.uk", where two names may be everybody's.
func parentDomain(host string) string {
	names := strings.Split(host, ".")
	if len(names) < 2 {
		return ""
	}
	last := names[len(names)-2:]
	if len(last[0]) <= 3 && len(last[1]) == 2 {
		if len(names) < 3 {
			return ""
		}
		last = names[len(names)-3:]
	}
	return strings.Join(last, ".")
}

// credentialStores are the files that podman and docker keep credentials in,
// in the order of containers-auth.json(5). Helpers are used as they say.
func (o Options) credentialStores() ([]credentials.Store, error) {
	files := []string{o.AuthFile}
	if o.AuthFile != "" {
		if _, err := os.Stat(o.AuthFile); err != nil {
			return nil, fmt.Errorf("--authfile: %w", err)
		}
	} else {
		files = defaultAuthFiles()
	}
	var stores []credentials.Store
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			continue // one of many places
		}
		store, err := credentials.NewStore(file, credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("credentials %s: %w", file, err)
		}
		stores = append(stores, store)
	}
	return stores, nil
}

func defaultAuthFiles() (files []string) {
	add := func(dir string, names ...string) {
		if dir != "" {
			files = append(files, filepath.Join(append([]string{dir}, names...)...))
		}
	}
	add(os.Getenv("REGISTRY_AUTH_FILE"))
	add(os.Getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	home, _ := os.UserHomeDir() // "" without one
	if config := os.Getenv("XDG_CONFIG_HOME"); config != "" {
		add(config, "containers", "auth.json")
	} else {
		add(home, ".config", "containers", "auth.json")
	}
	if docker := os.Getenv("DOCKER_CONFIG"); docker != "" {
		add(docker, "config.json")
	} else {
		add(home, ".docker", "config.json")
	}
	return files
}

// lookUp finds the credentials for a repository: those of the longest prefix
// of its name, down to the host's.
func lookUp(ctx context.Context, stores []credentials.Store, hostport, repository string) (auth.Credential, error) {
	keys := []string{credentials.ServerAddressFromHostname(hostport)}
	if keys[0] != hostport {
		keys = append(keys, dockerHub)
		hostport = dockerHub
	}
	for key := hostport; repository != ""; {
		name, rest, _ := strings.Cut(repository, "/")
		key += "/" + name
		keys, repository = append([]string{key}, keys...), rest
	}
	for _, key := range keys {
		for _, store := range stores {
			found, err := store.Get(ctx, key)
			if err != nil {
				return auth.EmptyCredential, fmt.Errorf("credentials for %s: %w", key, err)
			}
			if found != auth.EmptyCredential {
				return found, nil
			}
		}
	}
	return auth.EmptyCredential, nil
}
