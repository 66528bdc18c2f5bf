{{- define "headstart.name" -}}
{{- $name := ternary .Release.Name (printf "%s-headstart" .Release.Name) (contains "headstart" .Release.Name) -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "headstart.selector" -}}
app.kubernetes.io/name: headstart
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headstart.metadata" -}}
name: {{ include "headstart.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "headstart.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "headstart.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* True if the server asks for keys alone, so that it needs one to start. */}}
{{- define "headstart.needsKey" -}}
{{- if not (or .Values.insecure .Values.settings.oidcIssuer) }}true{{ end -}}
{{- end -}}

{{/* Names that requests may have, the pod's own address among them, by which Prometheus asks. */}}
{{- define "headstart.hosts" -}}
{{- $name := include "headstart.name" . -}}
{{- $inside := printf "%s.%s" $name .Release.Namespace -}}
{{- $service := list $name $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) -}}
{{- concat .Values.allowedHosts $service (list "$(POD_IP)") | join "," -}}
{{- end -}}

{{/* Helm reads numbers as floats, and would write 64000000 as 6.4e+07. */}}
{{- define "headstart.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- define "headstart.settings" -}}
HEADSTART_HOST: 0.0.0.0
HEADSTART_PORT: "8000"
HEADSTART_INSECURE: {{ .Values.insecure | quote }}
HEADSTART_DATA_DIR: /data
{{- if .Values.tls.secretName }}
HEADSTART_SSL_CERTFILE: /tls/tls.crt
HEADSTART_SSL_KEYFILE: /tls/tls.key
{{- end }}
{{- if or .Values.bundles.image .Values.bundles.existingClaim }}
HEADSTART_BUNDLES_DIR: /bundles
{{- end }}
{{- range $name, $value := .Values.settings }}
HEADSTART_{{ $name | snakecase | upper }}: {{ include "headstart.text" $value | quote }}
{{- end }}
{{- end -}}

{{- define "headstart.environment" -}}
envFrom:
  - configMapRef: {name: {{ include "headstart.name" . }}}
{{- if or .Values.allowedHosts .Values.database.secretName .Values.extraEnv }}
env:
  {{- if .Values.allowedHosts }}
  - name: POD_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  - name: HEADSTART_ALLOWED_HOSTS
    value: {{ include "headstart.hosts" . | quote }}
  {{- end }}
  {{- if .Values.database.secretName }}
  - name: HEADSTART_DATABASE_URL
    valueFrom: {secretKeyRef: {name: {{ .Values.database.secretName | quote }}, key: {{ .Values.database.secretKey | quote }}}}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "headstart.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* What processes may take at SIGTERM one after another: workers, the owner, and the one that runs the engines. */}}
{{- define "headstart.graceSeconds" -}}
{{- $stages := 2 -}}
{{- if or .Values.gpu.enabled .Values.settings.sharedEngine }}{{ $stages = 3 }}{{ end -}}
{{- if eq (int .Values.settings.workers) 1 }}{{ $stages = 1 }}{{ end -}}
{{- $each := add 10 (int (.Values.settings.shutdownTimeout | default 30)) -}}
{{- add (ceil .Values.settings.drainSeconds) (mul $stages $each) -}}
{{- end -}}

{{- define "headstart.asks" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" (not (empty .of.Values.tls.secretName)) }}
  httpHeaders: [{name: Host, value: localhost}]
{{- end -}}
