package libct

import (
	"fmt"

	"github.com/hako-runtime/hako/libct/lsm"
	"github.com/hako-runtime/hako/libct/plan"
)

// checkLabels refuses labels that the kernel would only refuse when much has
// been made. Runs on the host.
func checkLabels(p *plan.Plan) error {
	if err := lsm.CheckLoaded(p.Process.Labels.AppArmor); err != nil {
		return fmt.Errorf("process.apparmorProfile: %w", err)
	}
	if err := lsm.CheckContext(p.Process.Labels.SELinux); err != nil {
		return fmt.Errorf("process.selinuxLabel: %w", err)
	}
	if p.Setup == nil { // executing in a container, whose file systems are there
		return nil
	}
	if err := lsm.CheckContext(p.Setup.Root.MountLabel); err != nil {
		return fmt.Errorf("linux.mountLabel: %w", err)
	}
	return nil
}
