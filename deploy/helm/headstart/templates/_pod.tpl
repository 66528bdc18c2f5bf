{{/* The pod of both the StatefulSet and the Deployment. */}}
{{- define "headstart.pod" -}}
metadata:
  labels:
    {{- include "headstart.selector" . | nindent 4 }}
  annotations:
    checksum/settings: {{ include "headstart.settings" . | sha256sum }}
spec:
  automountServiceAccountToken: false
  # A Service called headstart would otherwise set HEADSTART_PORT.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "headstart.graceSeconds" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 999
    runAsGroup: 999
    fsGroup: 999
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .Values.gpu.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.database.secretName }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "headstart.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- include "headstart.before" . | nindent 2 }}
  containers:
    - name: server
      image: {{ include "headstart.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      ports:
        - {name: http, containerPort: 8000}
        {{- with .Values.settings.grpcPort }}
        - {name: grpc, containerPort: {{ int . }}}
        {{- end }}
      {{- include "headstart.environment" . | nindent 6 }}
      {{- include "headstart.confined" . | nindent 6 }}
      resources:
        {{- $resources := deepCopy .Values.resources }}
        {{- if .Values.gpu.enabled }}
        {{- $resources = merge $resources (dict "limits" (dict .Values.gpu.resource 1)) }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      # A start gets as long as the server gives its own processes.
      startupProbe:
        {{- include "headstart.asks" (dict "of" . "path" "/healthz") | nindent 8 }}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 150
      readinessProbe:
        {{- include "headstart.asks" (dict "of" . "path" "/readyz") | nindent 8 }}
        periodSeconds: 15
        timeoutSeconds: 12
        failureThreshold: 2
      livenessProbe:
        {{- include "headstart.asks" (dict "of" . "path" "/healthz") | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- if or .Values.bundles.image .Values.bundles.existingClaim }}
        - {name: bundles, mountPath: /bundles, readOnly: true}
        {{- end }}
        {{- if .Values.tls.secretName }}
        - {name: tls, mountPath: /tls, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 2Gi}}
    - {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: {{ .Values.sharedMemory }}}}
    {{- if .Values.database.secretName }}
    - {name: data, emptyDir: {sizeLimit: 2Gi}}
    {{- end }}
    {{- if .Values.bundles.image }}
    - {name: bundles, emptyDir: {sizeLimit: {{ .Values.bundles.size }}}}
    {{- else if .Values.bundles.existingClaim }}
    - {name: bundles, persistentVolumeClaim: {claimName: {{ .Values.bundles.existingClaim | quote }}, readOnly: true}}
    {{- end }}
    {{- with .Values.tls.secretName }}
    - {name: tls, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
    {{- end }}
{{- end -}}

{{/* What is done before the server starts. */}}
{{- define "headstart.before" -}}
{{- if or .Values.bundles.image (include "headstart.needsKey" .) -}}
initContainers:
  {{- if .Values.bundles.image }}
  - name: bundles
    image: {{ .Values.bundles.image | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .Values.bundles.path) | quote }}, /copied]
    {{- include "headstart.confined" . | nindent 4 }}
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 256Mi}}
    volumeMounts: [{name: bundles, mountPath: /copied}]
  {{- end }}
  {{- if include "headstart.needsKey" . }}
  # Waits until the operator has made the first key in it: the server does not listen to others without one.
  - name: first-key
    image: {{ include "headstart.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [sh, -c]
    args:
      - |
        trap 'exit 1' TERM
        until [ "$(/opt/headstart/bin/headstart-server keys list | wc -l)" -gt 1 ]; do sleep 2; done
    {{- include "headstart.environment" . | nindent 4 }}
    {{- include "headstart.confined" . | nindent 4 }}
    resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: tmp, mountPath: /tmp}
  {{- end }}
{{- end }}
{{- end -}}
