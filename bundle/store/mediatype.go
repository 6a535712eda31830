package store

import v1 "github.com/opencontainers/image-spec/specs-go/v1"

// Docker's types of the same documents (image-spec media-types.md,
// "Compatibility Matrix").
const (
	DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	DockerConfig       = "application/vnd.docker.container.image.v1+json"
	DockerLayer        = "application/vnd.docker.image.rootfs.diff.tar"
	DockerLayerGzip    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	DockerLayerZstd    = "application/vnd.docker.image.rootfs.diff.tar.zstd"
	DockerForeign      = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	nondistributableGz = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
)

func isIndex(mediaType string) bool {
	return mediaType == v1.MediaTypeImageIndex || mediaType == DockerManifestList
}

// IsManifest says whether a blob of this type is an image manifest.
func IsManifest(mediaType string) bool {
	return mediaType == v1.MediaTypeImageManifest || mediaType == DockerManifest
}

// OCIMediaType is the image-spec's name of one of Docker's media types; any
// other is returned as it is.
func OCIMediaType(mediaType string) string {
	switch mediaType {
	case DockerManifestList:
		return v1.MediaTypeImageIndex
	case DockerManifest:
		return v1.MediaTypeImageManifest
	case DockerConfig:
		return v1.MediaTypeImageConfig
	case DockerLayer:
		return v1.MediaTypeImageLayer
	case DockerLayerGzip:
		return v1.MediaTypeImageLayerGzip
	case DockerLayerZstd:
		return v1.MediaTypeImageLayerZstd
	case DockerForeign:
		return nondistributableGz
	}
	return mediaType
}
