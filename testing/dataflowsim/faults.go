package dataflowsim

// Names of the methods that faults are for.
const (
	CallLaunch   = "launch"
	CallCreate   = "create"
	CallGet      = "get"
	CallList     = "list"
	CallUpdate   = "update"
	CallMessages = "messages"
	CallMetrics  = "metrics"
)

// Fault is what goes wrong with one call.
type Fault int

// The faults of a call.
const (
	None    Fault = iota
	Refused       // 503, and nothing was done
	Lost          // it was done, but the answer is a 503
	Cut           // it was done, but the connection breaks before the answer
	Quota         // 429 RESOURCE_EXHAUSTED, and nothing was done
)

// Faults are what the simulator does wrong. The zero value does everything right.
type Faults struct {
	// Call, if set, is asked at the n-th call (from 1) of a method since the faults were set.
	Call func(method string, n int) Fault
	// ListLag is in how many lists a new job is not shown yet.
	ListLag int
	// ExistingJob answers a launch under the name of an active job with that job and
	// status 200, instead of 409.
	ExistingJob bool
	// LateLabels shows the labels of a launch only after a few looks at the job.
	LateLabels bool
	// MaxActive is the quota of active jobs of a project and region; 0 = none.
	MaxActive int
	// FailIn is the state in which jobs fail, with the text of FailText.
	FailIn   string
	FailText string
	// HoldIn is the state in which jobs stay until Release is called or they are cancelled.
	HoldIn string
	// Twice has every bundle executed by two workers at once; one of them counts.
	Twice bool
	// LoseBundles are the numbers (from 1) of successes of a job that are lost together
	// with their worker, after everything was done.
	LoseBundles []int
}

func (f Faults) copies() int {
	if f.Twice {
		return 2
	}
	return 1
}
