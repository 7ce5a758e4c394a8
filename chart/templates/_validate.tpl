{{/*
What no schema can say, and what can't be changed in place. Each message has the way out. Takes the root.
*/}}
{{- define "validate" -}}
{{- include "validate.step" . -}}
{{- include "validate.settings" . -}}
{{- include "validate.server" . -}}
{{- include "validate.lookup" . -}}
{{- include "validate.cluster" . -}}
{{- end }}

{{- define "validate.step" -}}
{{- if and (eq .Values.step "mutate") (not .Values.namespaces) -}}
{{- fail "namespaces: Required value: step mutate needs the namespaces to begin with; * stands for any text" -}}
{{- end -}}
{{- if and (ne .Values.step "see") (eq (default "" (default dict .Values.settings).mode) "warn") -}}
{{- fail (printf "settings.mode: Invalid value: \"warn\": step %s enforces something; take settings.mode out, or go back to step see" .Values.step) -}}
{{- end -}}
{{- end }}

{{/* The rest of what the policy itself would refuse. */}}
{{- define "validate.settings" -}}
{{- $seen := list -}}
{{- range $i, $entry := default list (default dict .Values.settings).audiences -}}
{{- if has $entry.audience $seen -}}
{{- fail (printf "settings.audiences[%d].audience: Duplicate value: %q" $i $entry.audience) -}}
{{- end -}}
{{- $seen = append $seen $entry.audience -}}
{{- end -}}
{{- $maximum := .Values.tokenApi.people.maxExpirationSeconds -}}
{{- if and (eq 3607 (int (default 0 $maximum))) (eq "true" (include "settings.extendsTokens" .)) -}}
{{- fail "tokenApi.people.maxExpirationSeconds: Invalid value: 3607: the API server extends exactly this lifetime to a year; choose another" -}}
{{- end -}}
{{- $fsGroup := default dict (default dict .Values.settings).fsGroup -}}
{{- $group := ternary 65534 $fsGroup.default (has (toString $fsGroup.default) (list "" "<nil>")) -}}
{{- $allowed := and (not $fsGroup.ranges) (ge (int64 $group) 0) (le (int64 $group) 2147483647) -}}
{{- range $i, $range := default list $fsGroup.ranges -}}
{{- if gt (int64 $range.min) (int64 $range.max) -}}
{{- fail (printf "settings.fsGroup.ranges[%d]: Invalid value: min is above max" $i) -}}
{{- end -}}
{{- if and (ge (int64 $group) (int64 $range.min)) (le (int64 $group) (int64 $range.max)) -}}
{{- $allowed = true -}}
{{- end -}}
{{- end -}}
{{- if and (eq (default "MustRunAs" $fsGroup.rule) "MustRunAs") (not $allowed) -}}
{{- fail (printf "settings.fsGroup.default: Invalid value: %d: must be in settings.fsGroup.ranges" (int64 $group)) -}}
{{- end -}}
{{- end }}

{{- define "validate.server" -}}
{{- $server := .Values.policyServer -}}
{{- if $server.create -}}
{{- if eq (include "chart.policyServer" .) "default" -}}
{{- fail "policyServer.name: Invalid value: \"default\": that is the one of the chart kubewarden-defaults; choose another name, or set policyServer.create: false to use it" -}}
{{- end -}}
{{- if ge (int $server.minAvailable) (int $server.replicas) -}}
{{- fail "policyServer.minAvailable: Invalid value: must be below policyServer.replicas: otherwise no node with a policy-server can be drained" -}}
{{- end -}}
{{- else if .Values.pullSecret -}}
{{- fail "pullSecret: Forbidden: it belongs to the PolicyServer; set imagePullSecret in the existing one, or policyServer.create: true" -}}
{{- end -}}
{{- end }}

{{- define "validate.lookup" -}}
{{- $detect := (default dict (default dict .Values.settings).legacyTokens).detect -}}
{{- if .Values.lookup.enabled -}}
{{- if not .Values.secretsAndDrivers.enabled -}}
{{- fail "lookup.enabled needs secretsAndDrivers.enabled: true: a Secret that doesn't exist yet can become a token Secret before its Pod starts" -}}
{{- end -}}
{{- if not (or .Values.lookup.mutualTLS .Values.lookup.apiServerCIDRs) -}}
{{- fail "lookup.enabled needs a policy-server that doesn't answer everybody: set lookup.apiServerCIDRs for a NetworkPolicy (kubectl get endpointslices --namespace default --selector kubernetes.io/service-name=kubernetes), or lookup.mutualTLS: true if Kubewarden runs with mTLS.enable" -}}
{{- end -}}
{{- if and (not .Values.policyServer.create) (not .Values.policyServer.serviceAccountName) -}}
{{- fail "policyServer.serviceAccountName: Required value: lookup.enabled gives the existing policy-server's ServiceAccount the permission to get Secrets" -}}
{{- end -}}
{{- else if eq (default "Name" $detect) "Lookup" -}}
{{- fail "settings.legacyTokens.detect: Invalid value: \"Lookup\": set lookup.enabled: true instead, which brings what it needs" -}}
{{- end -}}
{{- end }}

{{/* What the objects in the cluster don't allow. Without a cluster (helm template) nothing is found. */}}
{{- define "validate.cluster" -}}
{{- $server := include "chart.policyServer" . -}}
{{- range include "chart.policies" . | fromJsonArray -}}
{{- $policy := lookup "policies.kubewarden.io/v1" "ClusterAdmissionPolicy" "" . -}}
{{- if $policy -}}
{{- if ne $policy.spec.policyServer $server -}}
{{- fail (printf "policyServer: Forbidden: ClusterAdmissionPolicy %s runs on PolicyServer %s and can't move to %s: keep the old one, or uninstall this release and install it again" . $policy.spec.policyServer $server) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found := lookup "policies.kubewarden.io/v1" "PolicyServer" "" $server -}}
{{- if and $found (not .Values.policyServer.create) -}}
{{- if eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $found) .Release.Name -}}
{{- fail (printf "policyServer.create: Forbidden: PolicyServer %s was made by this release, and Helm would delete it: keep policyServer.create: true, or uninstall this release and install it again" $server) -}}
{{- end -}}
{{- end -}}
{{- $cluster := lookup "v1" "Namespace" "" "kube-system" -}}
{{- if and .Values.backstop.enabled $cluster (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "backstop.enabled needs Kubernetes 1.36, where MutatingAdmissionPolicy is v1; this cluster runs %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end }}
