package dataflowsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	df "google.golang.org/api/dataflow/v1b3"
)

// looksUntilLabels is how often a job is got before it shows labels that are late.
const looksUntilLabels = 3

// launch checks a request as the service does and starts the launcher.
func (s *Sim) launch(r *http.Request) (any, error) {
	var in df.LaunchFlexTemplateRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.LaunchParameter == nil {
		return nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "read launch parameter: %v", err)
	}
	p := in.LaunchParameter
	if p.Environment == nil {
		p.Environment = &df.FlexTemplateRuntimeEnvironment{}
	}
	if err := s.checkParameters(p); err != nil {
		return nil, err
	}
	project, location := r.PathValue("project"), r.PathValue("location")
	s.mu.Lock()
	defer s.mu.Unlock()
	existing, err := s.checkLaunch(project, location, p.JobName)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		view := existing.view
		return &df.LaunchFlexTemplateResponse{Job: &view}, nil
	}
	labels := p.Environment.AdditionalUserLabels
	if s.faults.LateLabels {
		labels = nil
	}
	j := s.add(project, location, p.JobName, Queued, labels)
	if s.faults.LateLabels {
		j.late, j.looks = p.Environment.AdditionalUserLabels, looksUntilLabels
	}
	if !in.ValidateOnly {
		s.wg.Go(func() { s.finish(j, s.build(j, p)) })
	}
	// The answer does not tell everything that is known of the job.
	return &df.LaunchFlexTemplateResponse{Job: &df.Job{
		Id: j.view.Id, Name: j.view.Name, ProjectId: project, Location: location, CurrentState: Queued, CreateTime: j.view.CreateTime,
	}}, nil
}

// checkParameters holds parameters to the metadata of the container spec.
func (s *Sim) checkParameters(p *df.LaunchFlexTemplateParameter) error {
	b, err := s.read(p.ContainerSpecGcsPath)
	if err != nil {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "unable to open template file: %v", err)
	}
	var spec df.ContainerSpec
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "unable to parse template file: %v", err)
	}
	if spec.Image == "" || spec.SdkInfo == nil || spec.SdkInfo.Language != "GO" || spec.Metadata == nil {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "the template file must name an image, the SDK GO and metadata")
	}
	known := map[string]bool{}
	for _, m := range spec.Metadata.Parameters {
		known[m.Name] = true
		value, given := p.Parameters[m.Name]
		if !given && !m.IsOptional {
			return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "The template parameters are invalid: parameter %s is missing", m.Name)
		}
		for _, pattern := range m.Regexes {
			if given && !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value) {
				return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "The template parameters are invalid: %s does not match %s", m.Name, pattern)
			}
		}
	}
	for name := range p.Parameters {
		if !known[name] {
			return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "The template parameters are invalid: unrecognized parameter %s", name)
		}
	}
	return nil
}

// build runs the launcher and then the job that it left in the bucket.
func (s *Sim) build(j *job, p *df.LaunchFlexTemplateParameter) error {
	if err := s.enter(j, Queued); err != nil {
		return err
	}
	staging := strings.TrimSuffix(p.Environment.StagingLocation, "/")
	if staging == "" {
		staging = "gs://" + s.options.Bucket + "/dataflow-staging"
	}
	file := staging + "/template_launches/" + j.view.Id + "/job_object"
	cmd := exec.CommandContext(j.ctx, s.options.Launcher, s.launcherFlags(j, p, staging, file)...)
	cmd.Dir = s.dir
	cmd.Env = append([]string{
		"PATH=/usr/bin:/bin", "HOME=" + s.dir, "TMPDIR=" + s.dir,
		"FLEX_TEMPLATE_GO_BINARY=" + s.options.Launcher, "STORAGE_EMULATOR_HOST=" + s.StorageHost(),
	}, s.options.Env...)
	out, err := cmd.CombinedOutput()
	s.options.Log.Debug("launcher", "job", j.view.Id, "output", string(out))
	if err != nil {
		return fmt.Errorf("Error occurred in the launcher container: Template launch failed: %w: %s", err, lastLine(out))
	}
	b, err := s.read(file)
	if err != nil {
		return fmt.Errorf("the launcher ended without an error, but left no job file: %w", err)
	}
	var built df.Job
	if err := json.Unmarshal(b, &built); err != nil {
		return fmt.Errorf("read job file: %w", err)
	}
	return s.execute(j, &built)
}

// launcherFlags are those that the launcher of a Flex Template gives the binary: the
// parameters and the environment, sorted by name.
func (s *Sim) launcherFlags(j *job, p *df.LaunchFlexTemplateParameter, staging, file string) []string {
	e := p.Environment
	flags := maps.Clone(p.Parameters)
	if flags == nil {
		flags = map[string]string{}
	}
	labels, _ := json.Marshal(e.AdditionalUserLabels) // a map of strings
	for name, value := range map[string]string{
		"runner": "DataflowRunner", "project": j.project, "region": j.view.Location, "job_name": p.JobName,
		"template_location": file, "staging_location": staging, "temp_location": e.TempLocation,
		"service_account_email": e.ServiceAccountEmail, "machine_type": e.MachineType,
		"network": e.Network, "subnetwork": e.Subnetwork, "dataflow_kms_key": e.KmsKeyName,
		"sdk_container_image": e.SdkContainerImage, "labels": string(labels),
		"num_workers": number(e.NumWorkers), "max_num_workers": number(e.MaxWorkers),
	} {
		if value != "" {
			flags[name] = value
		}
	}
	if e.IpConfiguration == "WORKER_IP_PRIVATE" {
		flags["no_use_public_ips"] = "true"
	}
	var args []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+name+"="+flags[name])
	}
	return append(args, s.options.LauncherFlags...)
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
