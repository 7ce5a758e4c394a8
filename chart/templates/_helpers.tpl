{{- define "chart.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{/* At most 45 characters: Kubewarden names a Service after the PolicyServer, with `policy-server-` before it,
     and no suffix of ours is longer than 18. */}}
{{- define "chart.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "chart.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "chart.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "chart.policyServer" -}}
{{- if .Values.policyServer.create -}}
{{- default (include "chart.fullname" .) .Values.policyServer.name -}}
{{- else -}}
{{- required "policyServer.name: name the existing PolicyServer, or set policyServer.create: true" .Values.policyServer.name -}}
{{- end -}}
{{- end }}

{{- define "chart.module" -}}
{{- $module := .Values.module -}}
{{- if $module.digest -}}
registry://{{ $module.repository }}@{{ $module.digest }}
{{- else -}}
registry://{{ $module.repository }}:{{ default (printf "v%s" .Chart.AppVersion) $module.tag }}
{{- end -}}
{{- end }}

{{/* What every policy leaves out: a dict of `root` and more namespaces, `also`. */}}
{{- define "chart.namespaceSelector" -}}
{{- $namespaces := concat .root.Values.excludedNamespaces (list .root.Release.Namespace) (default list .also) | uniq | sortAlpha -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ toJson $namespaces }}
  {{- if eq .root.Values.provider "aks" }}
  # What the admissions enforcer of AKS writes into a webhook that lacks it (Azure/AKS issue 4002) …
  - key: control-plane
    operator: NotIn
    values: ["true"]
  - key: kubernetes.azure.com/managedby
    operator: NotIn
    values: ["aks"]
  # … and what its documentation asks for ("Can I use admission controller webhooks on AKS?").
  - key: control-plane
    operator: DoesNotExist
  {{- end }}
{{- end }}

{{/* What the hooks may delete, in any step: every validating policy that has a mutating one. */}}
{{- define "chart.validatingTwins" -}}
{{- $name := include "chart.fullname" . -}}
{{- list (printf "%s-final" $name) (printf "%s-people-final" $name) (printf "%s-nodes-final" $name) | toJson -}}
{{- end }}

{{/* Those of them that this release has. */}}
{{- define "chart.renderedTwins" -}}
{{- $name := include "chart.fullname" . -}}
{{- $twins := list -}}
{{- if ne .Values.step "see" -}}
{{- $twins = append $twins (printf "%s-final" $name) -}}
{{- if .Values.tokenApi.people.enabled -}}
{{- $twins = append $twins (printf "%s-people-final" $name) -}}
{{- end -}}
{{- if .Values.tokenApi.nodes.enabled -}}
{{- $twins = append $twins (printf "%s-nodes-final" $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $twins -}}
{{- end }}

{{/* Every policy that a release of this chart can have, whatever its values. */}}
{{- define "chart.policies" -}}
{{- $name := include "chart.fullname" . -}}
{{- $own := list $name -}}
{{- range list "final" "people" "people-final" "nodes" "nodes-final" "secrets" "drivers" -}}
{{- $own = append $own (printf "%s-%s" $name .) -}}
{{- end -}}
{{- toJson $own -}}
{{- end }}
