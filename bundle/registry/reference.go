// Package registry moves images between a layout and where others find them:
// registries that speak the OCI distribution protocol, and archive files.
//
// It transfers only what the other side lacks, verifies everything by digest
// before it becomes visible, and bounds what a registry or a file can make it
// read. It knows no command line and no bundles.
package registry

import (
	"fmt"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// The kinds of places that an image can come from or go to.
const (
	ociArchive    = "oci-archive:"
	dockerArchive = "docker-archive:"
	dockerPrefix  = "docker://"
	dockerHub     = "docker.io"
	defaultTag    = "latest"
)

// parseRemote reads [docker://][HOST[:PORT]/]REPOSITORY[:TAG|@DIGEST] as
// docker and podman do: without a host it is Docker Hub, and there a
// repository without a user is an official one.
func parseRemote(s string) (registry.Reference, error) {
	name := strings.TrimPrefix(s, dockerPrefix)
	host, rest, found := strings.Cut(name, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, rest = dockerHub, name
	}
	if host == dockerHub && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	ref, err := registry.ParseReference(host + "/" + rest)
	if err != nil {
		return registry.Reference{}, fmt.Errorf("reference %q: %w", s, err)
	}
	if ref.Reference == "" {
		ref.Reference = defaultTag
	}
	return ref, nil
}

// parseArchive reads FILE[:NAME] behind the kind of an archive.
func parseArchive(s string) (file, name string, err error) {
	file, name, _ = strings.Cut(s, ":")
	if file == "" {
		return "", "", fmt.Errorf("archive %q: the name of the file is empty", s)
	}
	return file, name, nil
}
