package model

import "strings"

// Flaw is a set of rules that the modelled system breaks; 0 keeps them all.
type Flaw uint32

// Sabotage: rules whose absence the model must notice.
const (
	// ReadWholeStage publishes every staged row, orphans included.
	ReadWholeStage Flaw = 1 << iota
	// NoFence opens a generation without closing the publish ids of the one before.
	NoFence
	// MixPasses joins chunks of different passes to one chain.
	MixPasses
	// BookkeepingApart loads the position of a chunk by another job than its rows.
	BookkeepingApart
	// ClaimsAnyOrder acquires slices in random order.
	ClaimsAnyOrder
	// MergeClaims acquires by an insert-only MERGE, which does not exclude another one.
	MergeClaims
	// NoAssertion publishes without checking, in the same job, that the stage holds what
	// the chosen chunks say. It is the second line behind several other rules, so their
	// tests switch it off as well.
	NoAssertion
	// NoClaims lets everybody believe that it holds every slice. Rows must survive that:
	// claims save work, they do not protect data.
	NoClaims
)

// Holes: what the rules would be if they were taken literally from the first wording of
// the design, or from the code as it stands.
const (
	// FenceThreeOrdinals fences the ordinals 0 to 2 of a publish only, although lost
	// serialisation conflicts take a publish past them.
	FenceThreeOrdinals Flaw = 1 << (iota + 10)
	// FencedIsOpen resumes a generation whose publish is fenced, because the owner that
	// fenced it died before it opened the next.
	FencedIsOpen
	// UnguardedMerge lets MERGEs of different units that only insert run side by side.
	UnguardedMerge
	// ChunkOutlivesLoad gives a chunk the same id in whatever load carries it.
	ChunkOutlivesLoad
	// StageRemade makes the staging table again when it is found missing, and loads anew
	// what the former one held. A publisher that was paused meanwhile does not know.
	StageRemade
	// FreeWindow bounds the loads that are running, not the pages that are not durable.
	FreeWindow
	// UndecidedRejects lets the dead letters and the publish choose chains apart.
	UndecidedRejects
	// LandedAnyConfig takes the outcome of a run that had another configuration.
	LandedAnyConfig
	// OverwritePerInterval gives each interval a unit of its own under overwrite.
	OverwritePerInterval
	// NarrowApart gives a run that a parameter narrows units of its own.
	NarrowApart
	// Unscoped lets a narrowed run replace the whole slice.
	Unscoped
	// ResumeAnyAge resumes an open generation however old its first pages are.
	ResumeAnyAge
	// LateOpening lets an owner that has lost its claim open a generation after its
	// successor has.
	LateOpening
	// CancelUnfenced cancels the jobs that are there, and fences nothing.
	CancelUnfenced
	// OwnerPerRun labels what an owner acquires with its request, not with its process.
	OwnerPerRun
)

var flawNames = []struct {
	flaw Flaw
	name string
}{
	{ReadWholeStage, "ReadWholeStage"},
	{NoFence, "NoFence"},
	{MixPasses, "MixPasses"},
	{BookkeepingApart, "BookkeepingApart"},
	{ClaimsAnyOrder, "ClaimsAnyOrder"},
	{MergeClaims, "MergeClaims"},
	{NoAssertion, "NoAssertion"},
	{FenceThreeOrdinals, "FenceThreeOrdinals"},
	{FencedIsOpen, "FencedIsOpen"},
	{UnguardedMerge, "UnguardedMerge"},
	{ChunkOutlivesLoad, "ChunkOutlivesLoad"},
	{StageRemade, "StageRemade"},
	{FreeWindow, "FreeWindow"},
	{UndecidedRejects, "UndecidedRejects"},
	{LandedAnyConfig, "LandedAnyConfig"},
	{OverwritePerInterval, "OverwritePerInterval"},
	{NarrowApart, "NarrowApart"},
	{Unscoped, "Unscoped"},
	{ResumeAnyAge, "ResumeAnyAge"},
	{LateOpening, "LateOpening"},
	{CancelUnfenced, "CancelUnfenced"},
	{NoClaims, "NoClaims"},
	{OwnerPerRun, "OwnerPerRun"},
}

// String names the rules that are broken, "none" for 0.
func (f Flaw) String() string {
	var names []string
	for _, n := range flawNames {
		if f.has(n.flaw) {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "+")
}

func (f Flaw) has(g Flaw) bool { return f&g != 0 }
