package netdev

// Device is a network interface that moves into the container;
// runtime-spec config-linux.md#network-devices.
type Device struct {
	Host      string `json:"host"`
	Container string `json:"container"` // equal to Host unless renamed
}
