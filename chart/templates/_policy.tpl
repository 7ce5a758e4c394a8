{{/*
One ClusterAdmissionPolicy: a dict of `root`, `name` (a suffix, or nothing), `mutating`,
`backgroundAudit`, `failurePolicy`, `settings` and `rules`; and, where there are any, `conditions` (a
list of name and expression), `also` (more namespaces to leave out), `clusterScoped` and `secrets`
(true where it may read Secrets).
*/}}
{{- define "policy" -}}
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata:
  name: {{ include "chart.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
  labels:
    {{- include "chart.labels" .root | nindent 4 }}
  annotations:
    io.kubewarden.policy.severity: high
    io.kubewarden.policy.category: Secrets
spec:
  policyServer: {{ include "chart.policyServer" .root }}
  module: {{ include "chart.module" .root }}
  # Neither changes in any step: the controller would leave a webhook behind, or refuse.
  mode: protect
  mutating: {{ .mutating }}
  failurePolicy: {{ .failurePolicy }}
  timeoutSeconds: {{ .root.Values.timeoutSeconds }}
  backgroundAudit: {{ .backgroundAudit }}
  {{- if not .clusterScoped }}
  namespaceSelector:
    {{- include "chart.namespaceSelector" (dict "root" .root "also" .also) | nindent 4 }}
  {{- end }}
  {{- with .conditions }}
  matchConditions:
    {{- range . }}
    - name: {{ .name }}
      expression: >-
        {{- .expression | nindent 8 }}
    {{- end }}
  {{- end }}
  rules:
    {{- .rules | nindent 4 }}
  {{- if .secrets }}
  contextAwareResources:
    - apiVersion: v1
      kind: Secret
  {{- end }}
  settings:
    {{- toYaml .settings | nindent 4 }}
{{- end }}

{{- define "rules.pods" -}}
- apiGroups: [""]
  apiVersions: ["v1"]
  resources: ["pods"]
  operations: ["CREATE"]
- apiGroups: [""]
  apiVersions: ["v1"]
  resources: ["pods/ephemeralcontainers"]
  operations: ["UPDATE"]
{{- end }}

{{- define "rules.templates" -}}
- apiGroups: [""]
  apiVersions: ["v1"]
  resources: ["replicationcontrollers", "podtemplates"]
  operations: ["CREATE", "UPDATE"]
- apiGroups: ["apps"]
  apiVersions: ["v1"]
  resources: ["deployments", "replicasets", "statefulsets", "daemonsets"]
  operations: ["CREATE", "UPDATE"]
- apiGroups: ["batch"]
  apiVersions: ["v1"]
  resources: ["jobs", "cronjobs"]
  operations: ["CREATE", "UPDATE"]
{{- end }}

{{- define "rules.tokenRequests" -}}
- apiGroups: [""]
  apiVersions: ["v1"]
  resources: ["serviceaccounts/token"]
  operations: ["CREATE"]
{{- end }}
