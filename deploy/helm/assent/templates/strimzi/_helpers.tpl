{{/* Every topic: a list of {name, key, settings}. Made from files/kafka.json, which the program's own plan is written to. */}}
{{- define "assent.topics" -}}
{{- $named := .Values.config.topics | default dict -}}
{{- $serves := (.Values.config.serve | default dict).clients -}}
{{- $topics := list -}}
{{- range (.Files.Get "files/kafka.json" | fromJson).topics -}}
  {{- $topic := . -}}
  {{- $name := get $named .key | default .default -}}
  {{- if and .serve (not $serves) -}}
  {{- else if eq .key "segments" -}}
    {{- range (include "assent.rulebook" $ | fromYaml).purposes -}}
      {{- $topics = append $topics (dict "name" ($name | replace "{purpose}" .id) "key" $topic.key "purpose" .id "readers" (.readers | default list) "settings" $topic.settings) -}}
    {{- end -}}
    {{- if (include "assent.rulebook" $ | fromYaml).canary -}}
      {{- $topics = append $topics (dict "name" ($name | replace "{purpose}" "canary") "key" $topic.key "purpose" "canary" "readers" list "settings" $topic.settings) -}}
    {{- end -}}
  {{- else -}}
    {{- $topics = append $topics (dict "name" $name "key" .key "settings" .settings) -}}
  {{- end -}}
{{- end -}}
{{- dict "topics" $topics | toJson -}}
{{- end }}

{{/* ACLs of Strimzi for (dict "grants" LIST "topics" LIST "group" ID "readers" DICT "canary" BOOL): with `readers`, also what
     their lag is read by; with `canary`, also what `run --canary` writes and reads. */}}
{{- define "assent.acls" -}}
{{- $in := . -}}
{{- range .grants }}
{{- $grant := . }}
{{- if eq .resource "topic" }}
{{- range $in.topics }}
{{- if eq .key $grant.key }}
{{- $operations := $grant.operations }}
{{- if and $in.readers .readers }}{{ $operations = concat $operations $in.readers.topic }}{{ end }}
{{- if and $in.canary (eq (.purpose | default "") "canary") }}{{ $operations = append $operations "Read" }}{{ end }}
{{- if and $in.canary (eq .key "clickstream") }}{{ $operations = append $operations "Write" }}{{ end }}
- resource: {type: topic, name: {{ .name | quote }}, patternType: literal}
  operations: {{ $operations | toJson }}
  host: "*"
{{- end }}
{{- end }}
{{- else }}
- resource: {type: {{ .resource }}, name: {{ .name | replace "{group_id}" $in.group | quote }}, patternType: {{ .pattern }}}
  operations: {{ .operations | toJson }}
  host: "*"
{{- end }}
{{- end }}
{{- if .readers }}
{{- $groups := list }}
{{- range .topics }}{{ range .readers }}{{ $groups = append $groups .group_id }}{{ end }}{{ end }}
{{- range without (uniq $groups) .group }}
- resource: {type: group, name: {{ . | quote }}, patternType: literal}
  operations: {{ $in.readers.group | toJson }}
  host: "*"
{{- end }}
{{- end }}
{{- end }}

{{- define "assent.strimzi.metadata" -}}
{{ with .Values.strimzi.namespace }}namespace: {{ . }}
{{ end }}labels:
  {{- include "assent.labels" . | nindent 2 }}
  strimzi.io/cluster: {{ required "strimzi.cluster is empty: metadata.name of the Kafka" .Values.strimzi.cluster }}
{{- end }}
