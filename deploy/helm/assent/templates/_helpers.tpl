{{- define "assent.name" -}}
{{- if contains "assent" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-assent" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Never change: a StatefulSet can't. */}}
{{- define "assent.selector" -}}
app.kubernetes.io/name: assent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "assent.labels" -}}
{{ include "assent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "assent.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "assent.name" . }}{{ else }}default{{ end }}
{{- end }}

{{- define "assent.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "assent.bootstrap" -}}
{{- $kafka := .Values.config.kafka | default dict -}}
{{- required "config.kafka.bootstrap_servers is missing: the brokers, host:port, with commas between" $kafka.bootstrap_servers -}}
{{- end }}

{{- define "assent.rulebook" -}}
{{- required "rulebook is empty: --set-file rulebook=rules.yaml; rules/children-retail.yaml is a start" .Values.rulebook -}}
{{- end }}

{{/* assent.yaml: what the chart mounts, over what the values say. */}}
{{- define "assent.config" -}}
{{- $_ := include "assent.bootstrap" . -}}
{{- $own := dict
  "rulebook" "/etc/assent/rulebook.yaml"
  "keyset" (printf "/run/secrets/keyset/%s" .Values.keyset.key)
  "pipeline" (dict "state_dir" "/var/lib/assent")
  "http" (dict "listen" "0.0.0.0:9464") -}}
{{- mustMergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end }}

{{/* Of `assent serve`: its own over all that. */}}
{{- define "assent.serve.config" -}}
{{- $own := dict
  "serve" (dict
    "listen" "0.0.0.0:8470"
    "tls" (dict "cert_file" (printf "/run/secrets/serve-tls/%s" .Values.serve.tls.cert) "key_file" (printf "/run/secrets/serve-tls/%s" .Values.serve.tls.key))) -}}
{{- $config := mustMergeOverwrite (include "assent.config" . | fromYaml) (deepCopy .Values.serve.config) $own -}}
{{- if not $config.serve.clients }}{{ fail "config.serve.clients is empty: who may ask `assent serve`" }}{{ end -}}
{{- $config | toYaml -}}
{{- end }}

{{/* Never change: a Deployment can't. Not those of the pods that run. */}}
{{- define "assent.serve.selector" -}}
app.kubernetes.io/name: assent-serve
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "assent.serve.labels" -}}
{{ include "assent.serve.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What pods of both have: where they are placed, and as whom they run. */}}
{{- define "assent.pod" -}}
serviceAccountName: {{ include "assent.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
# Both end within 10 s of SIGTERM.
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Refused unless only owner and group can read it. */}}
{{- define "assent.keyset.volume" -}}
- name: keyset
  secret:
    secretName: {{ required "keyset.secret is empty: the Secret with the keyset of `assent keys new`" .Values.keyset.secret }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.keyset.key }}, path: {{ .Values.keyset.key }}}
{{- end }}

{{/* Ports of bootstrap_servers and of the registry, one a line. */}}
{{- define "assent.ports" -}}
{{- $ports := list -}}
{{- if .Values.networkPolicy.ports -}}
{{- range .Values.networkPolicy.ports }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- else -}}
{{- range regexFindAll ":[0-9]+(,|$)" (include "assent.bootstrap" . | nospace) -1 }}{{ $ports = append $ports (. | trimPrefix ":" | trimSuffix "," | int) }}{{ end -}}
{{- with (.Values.config.schema_registry | default dict).url -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports (int ($port | default (eq $url.scheme "https" | ternary "443" "80"))) -}}
{{- end -}}
{{- end -}}
{{- range $ports | uniq }}{{ . }}
{{ end -}}
{{- end }}
