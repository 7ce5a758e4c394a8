{{/*
What CEL expressions are made of. `toJson` writes a text as CEL reads it, too.
*/}}

{{/* True when a field has a value. The API server writes some empty fields as null, which `has` sees.
     (`dyn`, since its type checker doesn't compare lists with null.) */}}
{{- define "cel.isSet" -}}
has({{ . }}) && dyn({{ . }}) != null
{{- end }}

{{/* A regular expression for a list of patterns in which * stands for any text. */}}
{{- define "cel.regularExpression" -}}
{{- $patterns := list -}}
{{- range . -}}
{{- $patterns = append $patterns (regexQuoteMeta . | replace "\\*" ".*") -}}
{{- end -}}
{{- printf "(?s)^(?:%s)$" (join "|" $patterns) -}}
{{- end }}

{{/* The same, as CEL text. */}}
{{- define "cel.patterns" -}}
{{- include "cel.regularExpression" . | toJson -}}
{{- end }}

{{/* The same for patterns of `namespace/name`: neither part has a slash. */}}
{{- define "cel.accounts" -}}
{{- $patterns := list -}}
{{- range . -}}
{{- $patterns = append $patterns (regexQuoteMeta . | replace "\\*" "[^/]*") -}}
{{- end -}}
{{- printf "^(?:%s)$" (join "|" $patterns) | toJson -}}
{{- end }}

{{/* True in the namespaces that the step enforces. */}}
{{- define "cel.onlyNamespaces" -}}
request.namespace.matches({{ include "cel.patterns" .Values.namespaces }})
{{- end }}

{{- define "cel.noMirrorPods" -}}
request.kind.kind != 'Pod' || has(request.subResource) ||
!has(object.metadata.annotations) ||
!('kubernetes.io/config.mirror' in object.metadata.annotations)
{{- end }}

{{- define "cel.isNode" -}}
request.userInfo.username.startsWith('system:node:') && has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups
{{- end }}

{{/* The tokens controller and its like: their updates of Secrets carry fresh tokens. */}}
{{- define "cel.isControlPlane" -}}
request.userInfo.username in ['system:kube-controller-manager', 'system:apiserver'] ||
request.userInfo.username.startsWith('system:serviceaccount:kube-system:')
{{- end }}

{{- define "cel.isTokenSecret" -}}
has({{ . }}.type) && {{ . }}.type == 'kubernetes.io/service-account-token'
{{- end }}

{{/* A Secret of the token type, before or after, or one whose `token` begins like a JWT: `{"` in base64
     is `eyJ`, and that in base64 once more `ZXlK`. */}}
{{- define "cel.onlyTokens" -}}
({{ include "cel.isTokenSecret" "object" }}) ||
(oldObject != null && {{ include "cel.isTokenSecret" "oldObject" }}) ||
(has(object.data) && 'token' in object.data && object.data['token'].startsWith('ZXlK'))
{{- end }}
