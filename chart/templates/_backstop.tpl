{{/*
The policy's rule for lifetimes in CEL, as far as the API server can apply it alone. Every helper takes a
dict of `root` and, where it says so, more; and gives an expression.

What the policy decides from settings alone is decided here; what depends on the request is left to CEL.
*/}}

{{/* True where the mode is one of `modes`: the first override that sets a mode wins. */}}
{{- define "backstop.hasMode" -}}
{{- $settings := include "settings.mutating" .root | fromJson -}}
{{- $expression := toString (has $settings.mode .modes) -}}
{{- range reverse (default list $settings.overrides) -}}
{{- if .mode -}}
{{- $expression = printf "(request.namespace.matches(%s) ? %t : %s)" (include "cel.patterns" .namespaces) (has .mode $.modes) $expression -}}
{{- end -}}
{{- end -}}
{{- $expression -}}
{{- end }}

{{/* The maximum of the namespace, where an audience has none: the first override that sets it wins. */}}
{{- define "backstop.namespaceMaximum" -}}
{{- $settings := include "settings.mutating" .root | fromJson -}}
{{- $expression := include "backstop.seconds" (default (default 3600 $settings.maxExpirationSeconds) .maximum) -}}
{{- range reverse (default list $settings.overrides) -}}
{{- if .maxExpirationSeconds -}}
{{- $expression = printf "(request.namespace.matches(%s) ? %s : %s)" (include "cel.patterns" .namespaces) (include "backstop.seconds" .maxExpirationSeconds) $expression -}}
{{- end -}}
{{- end -}}
{{- $expression -}}
{{- end }}

{{- define "backstop.seconds" -}}
{{- int64 . -}}
{{- end }}

{{/* The maximum for `audience`, an expression for a text that isn't empty: the first match wins. */}}
{{- define "backstop.audienceMaximum" -}}
{{- $settings := include "settings.mutating" .root | fromJson -}}
{{- $expression := "variables.namespaceMaximum" -}}
{{- range reverse (default list $settings.audiences) -}}
{{- $expression = printf "(%s.matches(%s) ? %s : %s)" $.audience (include "cel.patterns" (list .audience)) (include "backstop.seconds" .maxExpirationSeconds) $expression -}}
{{- end -}}
{{- $expression -}}
{{- end }}

{{/* The maximum for the API server's own audience, which is known from the settings: `Settings::maximum`
     in src/settings.rs. */}}
{{- define "backstop.ownMaximum" -}}
{{- $settings := include "settings.mutating" .root | fromJson -}}
{{- $namespaceMaximum := "variables.namespaceMaximum" -}}
{{- $own := default list (default dict $settings.apiServer).audiences -}}
{{- $maxima := list -}}
{{- if $own -}}
{{- $named := $own -}}
{{- range default list $settings.audiences -}}
{{- if eq "true" (include "backstop.anyMatches" (dict "patterns" $own "text" .audience)) -}}
{{- $named = append $named .audience -}}
{{- end -}}
{{- end -}}
{{- range $named -}}
{{- $maxima = append $maxima (include "backstop.firstMaximum" (dict "audiences" $settings.audiences "texts" (list .))) -}}
{{- end -}}
{{- else -}}
{{- $maxima = append $maxima (include "backstop.firstMaximum" (dict "audiences" $settings.audiences "usual" true "texts" (list "https://kubernetes.default.svc" "https://kubernetes.default.svc.cluster.local"))) -}}
{{- end -}}
{{- $fixed := list -}}
{{- range $maxima -}}
{{- if . -}}
{{- $fixed = append $fixed (int64 .) -}}
{{- end -}}
{{- end -}}
{{- if not $fixed -}}
{{- $namespaceMaximum -}}
{{- else -}}
{{- $lowest := index $fixed 0 -}}
{{- range $fixed -}}
{{- $lowest = min $lowest . -}}
{{- end -}}
{{- if has "" $maxima -}}
{{- printf "(%s < %d ? %s : %d)" $namespaceMaximum $lowest $namespaceMaximum $lowest -}}
{{- else -}}
{{- $lowest -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The maximum of the first of `audiences` that matches one of `texts`, or nothing. With `usual`, a
     pattern that the usual audiences of API servers match counts, too. */}}
{{- define "backstop.firstMaximum" -}}
{{- $found := "" -}}
{{- range default list .audiences -}}
{{- $entry := . -}}
{{- $matches := and $.usual (eq "true" (include "backstop.anyMatches" (dict "patterns" (list "https://kubernetes.default.svc*" "kubernetes.default.svc*") "text" .audience))) -}}
{{- range $.texts -}}
{{- if eq "true" (include "backstop.anyMatches" (dict "patterns" (list $entry.audience) "text" .)) -}}
{{- $matches = true -}}
{{- end -}}
{{- end -}}
{{- if and $matches (not $found) -}}
{{- $found = include "backstop.seconds" .maxExpirationSeconds -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- end }}

{{/* `true` when one of `patterns` matches the whole `text`. */}}
{{- define "backstop.anyMatches" -}}
{{- regexMatch (include "cel.regularExpression" .patterns) .text -}}
{{- end }}

{{/* True when `audience` is the API server's own; where the settings don't name any, what it is called
     nearly everywhere. */}}
{{- define "backstop.isOwn" -}}
{{- $settings := include "settings.mutating" .root | fromJson -}}
{{- $own := default list (default dict $settings.apiServer).audiences -}}
{{- if $own -}}
({{ .audience }} == '' || {{ .audience }}.matches({{ include "cel.patterns" $own }}))
{{- else -}}
({{ .audience }} == '' || {{ .audience }}.startsWith('https://kubernetes.default.svc') || {{ .audience }}.startsWith('kubernetes.default.svc'))
{{- end -}}
{{- end }}

{{/* Whether the API server makes a year of 3607 seconds. */}}
{{- define "backstop.extendsTokens" -}}
{{- include "settings.extendsTokens" .root -}}
{{- end }}

{{/* The maximum for `audience`, an expression for a text that may be empty. */}}
{{- define "backstop.maximum" -}}
{{- $named := include "backstop.audienceMaximum" . -}}
{{- if eq $named (include "backstop.ownMaximum" .) -}}
{{- $named -}}
{{- else -}}
({{ .audience }} == '' ? variables.ownMaximum : {{ $named }})
{{- end -}}
{{- end }}

{{/* The variables of all of them. With `maximum`, those who ask have one of their own. */}}
{{- define "backstop.variables" -}}
- name: namespaceMaximum
  expression: >-
    {{ include "backstop.namespaceMaximum" . }}
- name: ownMaximum
  expression: >-
    {{ include "backstop.ownMaximum" . }}
{{- end }}

{{/* True when `isExtended` says that a token of `seconds` becomes a year, or when it is longer than
     `maximum`. Where the API server doesn't extend tokens, 3607 is left alone: every Pod asks for it. */}}
{{- define "backstop.isTooLong" -}}
{{- if eq "true" (include "backstop.extendsTokens" .) -}}
({{ .isExtended }} ? 31536000 : {{ .seconds }}) > {{ .maximum }}
{{- else -}}
({{ .seconds }} != 3607 && {{ .seconds }} > {{ .maximum }})
{{- end -}}
{{- end }}

{{/* What the policy would set: the maximum, never 3607, and for 3607 where `isOwn` doesn't say that it
     is for the API server, at most that hour. */}}
{{- define "backstop.granted" -}}
{{- if eq "true" (include "backstop.extendsTokens" .) -}}
({{ .seconds }} == 3607 && !({{ .isOwn }}) && {{ .maximum }} > 3600 ? 3600 : {{ .maximum }})
{{- else -}}
({{ .maximum }} == 3607 ? 3606 : {{ .maximum }})
{{- end -}}
{{- end }}

{{/* What the two above need to know of source j of volume i of a Pod, in terms of the variables below. */}}
{{- define "backstop.token" -}}
{{- $isOwn := include "backstop.isOwn" (dict "root" .root "audience" "variables.audiences[i][j]") -}}
{{- $isExtended := "variables.seconds[i][j] == 3607" -}}
{{- if (default dict (default dict .root.Values.settings).apiServer).audiences -}}
{{- $isExtended = printf "%s && %s" $isExtended $isOwn -}}
{{- end -}}
{{- dict "seconds" "variables.seconds[i][j]" "isOwn" $isOwn "isExtended" $isExtended "maximum" "variables.maxima[i][j]" | toJson -}}
{{- end }}

{{/* For each source of each volume: the seconds asked for (0 where it is no token), the audience, and the
     maximum. */}}
{{- define "backstop.podVariables" -}}
{{ include "backstop.variables" . }}
- name: sources
  expression: >-
    ({{ include "cel.isSet" "object.spec.volumes" }} ? object.spec.volumes : []).map(volume,
    {{ include "cel.isSet" "volume.projected" }} && {{ include "cel.isSet" "volume.projected.sources" }} ? volume.projected.sources : [])
- name: seconds
  expression: >-
    variables.sources.map(sources, sources.map(source,
    !({{ include "cel.isSet" "source.serviceAccountToken" }}) ? 0 :
    {{ include "cel.isSet" "source.serviceAccountToken.expirationSeconds" }} ? source.serviceAccountToken.expirationSeconds : 3600))
- name: audiences
  expression: >-
    variables.sources.map(sources, sources.map(source,
    {{ include "cel.isSet" "source.serviceAccountToken" }} && {{ include "cel.isSet" "source.serviceAccountToken.audience" }} ? source.serviceAccountToken.audience : ''))
- name: maxima
  expression: >-
    variables.audiences.map(audiences, audiences.map(audience,
    {{ include "backstop.maximum" (dict "root" .root "audience" "audience") }}))
{{- end }}

{{/* Conditions that a Pod has to meet, in a list: that the policy would look at it, in one of `modes`. */}}
{{- define "backstop.podConditions" -}}
{{- $settings := default dict .root.Values.settings -}}
- name: in-force
  expression: >-
    {{ include "backstop.hasMode" . }}
- name: no-mirror-pods
  expression: >-
    {{- include "cel.noMirrorPods" .root | nindent 4 }}
{{- include "backstop.exemptions" (dict "root" .root "account" "(has(object.spec.serviceAccountName) && object.spec.serviceAccountName != '' ? object.spec.serviceAccountName : 'default')") }}
{{- with $settings.optOutAnnotation }}
- name: no-opt-out
  expression: >-
    !(has(object.metadata.annotations) && {{ toJson . }} in object.metadata.annotations &&
    object.metadata.annotations[{{ toJson . }}] == 'true')
{{- end }}
{{- end }}

{{/* Conditions that leave out what the settings exempt. `account` is an expression for the account. */}}
{{- define "backstop.exemptions" -}}
{{- $settings := default dict .root.Values.settings }}
{{- with $settings.exemptNamespaces }}
- name: no-exempt-namespace
  expression: >-
    !request.namespace.matches({{ include "cel.patterns" . }})
{{- end }}
{{- with $settings.exemptServiceAccounts }}
- name: no-exempt-account
  expression: >-
    !(request.namespace + '/' + {{ $.account }}).matches({{ include "cel.accounts" . }})
{{- end }}
{{- end }}

{{/* The name, labels and binding that all of them have: a dict of `root`, `name`, `kind`. */}}
{{- define "backstop.metadata" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ include "chart.fullname" .root }}-{{ .name }}
  labels:
    {{- include "chart.labels" .root | nindent 4 }}
{{- end }}

{{- define "backstop.binding" -}}
{{ include "backstop.metadata" (dict "root" .root "name" .name "kind" (printf "%sBinding" .kind)) }}
spec:
  policyName: {{ include "chart.fullname" .root }}-{{ .name }}
  {{- with .actions }}
  validationActions: {{ toJson . }}
  {{- end }}
{{- end }}

{{/* The same of a TokenRequest, and the variables that it needs: a dict of `root`, `asker` and `maximum`. */}}
{{- define "backstop.requestVariables" -}}
{{ include "backstop.variables" . }}
- name: seconds
  expression: >-
    {{ include "cel.isSet" "object.spec.expirationSeconds" }} ? object.spec.expirationSeconds : 3600
# None means the API server's own. A node may not name two: such a list is the API server's.
- name: audiences
  expression: >-
    {{ include "cel.isSet" "object.spec.audiences" }} && object.spec.audiences.size() {{ ternary "== 1" "> 0" (eq .asker "nodes") }} ? object.spec.audiences : ['']
# Of several audiences the one with the lowest maximum counts.
- name: maxima
  expression: >-
    variables.audiences.map(audience, {{ include "backstop.maximum" (dict "root" .root "maximum" .maximum "audience" "audience") }})
- name: maximum
  expression: >-
    variables.maxima.filter(seconds, variables.maxima.all(other, seconds <= other))[0]
{{- end }}

{{- define "backstop.request" -}}
{{- $isOwn := printf "variables.audiences.all(audience, %s)" (include "backstop.isOwn" (dict "root" .root "audience" "audience")) -}}
{{- $isExtended := printf "variables.seconds == 3607 && %s && object.spec.boundObjectRef.kind == 'Pod'" (include "cel.isSet" "object.spec.boundObjectRef") -}}
{{- if (default dict (default dict .root.Values.settings).apiServer).audiences -}}
{{- $isExtended = printf "%s && %s" $isExtended $isOwn -}}
{{- end -}}
{{- dict "seconds" "variables.seconds" "isOwn" $isOwn "isExtended" $isExtended "maximum" "variables.maximum" | toJson -}}
{{- end }}

{{/* Conditions that a TokenRequest has to meet, in a list: a dict of `root`, `asker` and `modes`. */}}
{{- define "backstop.requestConditions" -}}
- name: in-force
  expression: >-
    {{ include "backstop.hasMode" . }}
{{- if eq .asker "nodes" }}
- name: only-nodes
  expression: >-
    {{ include "cel.isNode" .root }}
{{- else }}
- name: no-nodes
  expression: >-
    !({{ include "cel.isNode" .root }})
{{- with .root.Values.tokenApi.people.excludedUsers }}
- name: no-excluded-users
  expression: >-
    !(request.userInfo.username in {{ toJson . }})
{{- end }}
{{- end }}
{{- include "backstop.exemptions" (dict "root" .root "account" "request.name") }}
{{- end }}

{{/* How the validating ones act: a list of dicts of `suffix`, `modes` and `actions`. */}}
{{- define "backstop.ways" -}}
{{- $ways := list -}}
{{- if ne .Values.step "see" -}}
{{- $ways = append $ways (dict "suffix" "" "modes" (list "mutate" "reject") "actions" (list "Deny")) -}}
{{- end -}}
{{- $warns := ne .Values.step "enforce" -}}
{{- range default list (default dict .Values.settings).overrides -}}
{{- if eq (default "" .mode) "warn" -}}
{{- $warns = true -}}
{{- end -}}
{{- end -}}
{{- if $warns -}}
{{- $ways = append $ways (dict "suffix" "-warn" "modes" (list "warn") "actions" (list "Warn" "Audit")) -}}
{{- end -}}
{{- toJson $ways -}}
{{- end }}
