package migrate

import (
	"fmt"

	"github.com/bitvault/pawl/phases"
)

// Lane says which of the pending migrations a run takes up.
type Lane string

const (
	// AllLanes takes up everything, which is what the zero Lane does too.
	AllLanes Lane = "all"
	// ExpandLane leaves contracts out, and what stands behind them.
	ExpandLane Lane = "expand"
	// ContractLane takes up contracts alone: held ones are tried again without a deployment.
	ContractLane Lane = "contract"
)

// leavesOut says why the lane does not take a file up; empty where it does.
func (l Lane) leavesOut(a *phases.Assessment) string {
	switch {
	case l == ExpandLane && Gated(a), l == ContractLane && !Gated(a):
		return fmt.Sprintf("--lane %s leaves it out", l)
	}
	return ""
}
