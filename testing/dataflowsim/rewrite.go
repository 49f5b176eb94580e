package dataflowsim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"google.golang.org/protobuf/proto"
)

// URNs of the transforms through which a worker talks to the runner.
const (
	dataSource   = "beam:runner:source:v1"
	dataSink     = "beam:runner:sink:v1"
	parDo        = "beam:transform:pardo:v1"
	processSized = "beam:transform:sdf_process_sized_element_and_restrictions:v1"
)

// redirect makes a worker talk to address instead of the runner.
func redirect(d *fnpb.ProcessBundleDescriptor, address string) (*fnpb.ProcessBundleDescriptor, error) {
	d = proto.CloneOf(d)
	to := func(s *pipepb.ApiServiceDescriptor) {
		if s != nil {
			s.Url = address
		}
	}
	to(d.GetStateApiServiceDescriptor())
	to(d.GetTimerApiServiceDescriptor())
	for name, t := range d.GetTransforms() {
		if urn := t.GetSpec().GetUrn(); urn != dataSource && urn != dataSink {
			continue
		}
		var port fnpb.RemoteGrpcPort
		if err := proto.Unmarshal(t.GetSpec().GetPayload(), &port); err != nil {
			return nil, fmt.Errorf("read port of %s: %w", name, err)
		}
		to(port.GetApiServiceDescriptor())
		b, err := proto.Marshal(&port)
		if err != nil {
			return nil, fmt.Errorf("write port of %s: %w", name, err)
		}
		t.Spec.Payload = b
	}
	return d, nil
}

// outputs counts the streams that a worker ends with a last message: its sinks, and the
// timer families of its transforms.
func outputs(d *fnpb.ProcessBundleDescriptor) (int, error) {
	n := 0
	for name, t := range d.GetTransforms() {
		switch t.GetSpec().GetUrn() {
		case dataSink:
			n++
		case parDo, processSized:
			var do pipepb.ParDoPayload
			if err := proto.Unmarshal(t.GetSpec().GetPayload(), &do); err != nil {
				return 0, fmt.Errorf("read transform %s: %w", name, err)
			}
			n += len(do.GetTimerFamilySpecs())
		}
	}
	return n, nil
}

// name gives metrics the ids under which the runner gets them. A worker's own short ids
// would mean other things on another worker.
func (b *bridge) name(infos []*pipepb.MonitoringInfo) map[string][]byte {
	out := make(map[string][]byte, len(infos))
	for _, info := range infos {
		id := infoID(info)
		if b.infos[id] == nil {
			b.infos[id] = &pipepb.MonitoringInfo{Urn: info.GetUrn(), Type: info.GetType(), Labels: info.GetLabels()}
		}
		out[id] = info.GetPayload()
	}
	return out
}

func infoID(info *pipepb.MonitoringInfo) string {
	var id strings.Builder
	id.WriteString(info.GetUrn())
	for _, k := range slices.Sorted(maps.Keys(info.GetLabels())) {
		fmt.Fprintf(&id, "\x00%s\x00%s", k, info.GetLabels()[k])
	}
	return id.String()
}

// describe says what metric ids mean.
func (b *bridge) describe(ids []string) *fnpb.MonitoringInfosMetadataResponse {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &fnpb.MonitoringInfosMetadataResponse{MonitoringInfo: map[string]*pipepb.MonitoringInfo{}}
	for _, id := range ids {
		if info := b.infos[id]; info != nil {
			out.MonitoringInfo[id] = info
		}
	}
	return out
}
