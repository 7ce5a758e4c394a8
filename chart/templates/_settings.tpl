{{/*
The settings of the mutating policies, as JSON. Only `mode` depends on the step, so that no step takes
back what another one said. Takes the root.
*/}}
{{- define "settings.mutating" -}}
{{- $settings := deepCopy (default dict .Values.settings) -}}
{{- $enforced := default "mutate" $settings.mode -}}
{{- $overrides := list -}}
{{- range default list $settings.overrides -}}
{{- $override := deepCopy . -}}
{{- if and (eq $.Values.step "see") $override.mode -}}
{{- $_ := set $override "mode" "warn" -}}
{{- end -}}
{{- $overrides = append $overrides $override -}}
{{- end -}}
{{- if eq .Values.step "mutate" -}}
{{- $overrides = append $overrides (dict "namespaces" .Values.namespaces "mode" $enforced) -}}
{{- end -}}
{{- if $overrides -}}
{{- $_ := set $settings "overrides" $overrides -}}
{{- end -}}
{{- $_ := set $settings "mode" (ternary $enforced "warn" (eq .Values.step "enforce")) -}}
{{- toJson $settings -}}
{{- end }}

{{/*
The settings of the validating policies: the same but for `mode`, and for `fsGroup.rule`, since the
mutating policy leaves some Pods without fsGroup. A dict of `root` and `mode`: what it is where no
override says otherwise.
*/}}
{{- define "settings.validating" -}}
{{- $settings := include "settings.mutating" .root | fromJson -}}
{{- $overrides := list -}}
{{- range default list $settings.overrides -}}
{{- $override := deepCopy . -}}
{{- if eq (default "" $override.mode) "mutate" -}}
{{- $_ := set $override "mode" "reject" -}}
{{- end -}}
{{- $overrides = append $overrides $override -}}
{{- end -}}
{{- if $overrides -}}
{{- $_ := set $settings "overrides" $overrides -}}
{{- end -}}
{{- $_ := set $settings "mode" .mode -}}
{{- $fsGroup := deepCopy (default dict $settings.fsGroup) -}}
{{- if eq (default "MustRunAs" $fsGroup.rule) "MustRunAs" -}}
{{- $_ := set $fsGroup "rule" "MayRunAs" -}}
{{- $_ := set $settings "fsGroup" $fsGroup -}}
{{- end -}}
{{- toJson $settings -}}
{{- end }}

{{/* Settings that ask the cluster for Secrets, where `lookup` is on: a dict of `root` and `settings`. */}}
{{- define "settings.withLookup" -}}
{{- $settings := .settings -}}
{{- if .root.Values.lookup.enabled -}}
{{- $_ := set $settings "legacyTokens" (set (deepCopy (default dict $settings.legacyTokens)) "detect" "Lookup") -}}
{{- end -}}
{{- toJson $settings -}}
{{- end }}

{{/* Settings with a maximum of their own: a dict of `settings` and `maximum`, which may be null. */}}
{{- define "settings.withMaximum" -}}
{{- $settings := .settings -}}
{{- if .maximum -}}
{{- $_ := set $settings "maxExpirationSeconds" .maximum -}}
{{- end -}}
{{- toJson $settings -}}
{{- end }}

{{/* `true` unless the API server is said to leave 3607 seconds as they are. Takes the root. */}}
{{- define "settings.extendsTokens" -}}
{{- $extends := (default dict (default dict .Values.settings).apiServer).extendsTokens -}}
{{- not (and (kindIs "bool" $extends) (not $extends)) -}}
{{- end }}
