{{- define "tracelake.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end -}}

{{- /* The components: what differs between them and is not a setting. */ -}}
{{- define "tracelake.components" -}}
ingest: {values: ingest, portVariable: TRACELAKE_INGEST_PORT, public: true}
trace-export: {values: traceExport, portVariable: TRACELAKE_TRACE_EXPORT_PORT, tempVariable: TRACELAKE_EXPORT_TEMP_DIR, public: true}
query: {values: query, portVariable: TRACELAKE_QUERY_PORT, tempVariable: TRACELAKE_QUERY_TEMP_DIR, public: true}
partition-materializer: {values: partitionMaterializer, portVariable: TRACELAKE_MATERIALIZER_PORT, tempVariable: TRACELAKE_MATERIALIZER_TEMP_DIR, public: false}
{{- end -}}

{{- define "tracelake.image" -}}
{{ .root.Values.image.registry }}{{ .root.Values.image.repositoryPrefix }}{{ .component }}:{{ .tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "tracelake.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tracelake.labels" -}}
{{ include "tracelake.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "tracelake.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ include "tracelake.name" . }}{{ else }}default{{ end }}
{{- end -}}

{{- define "tracelake.databaseSecret" -}}
{{- if .Values.bundled.enabled }}{{ include "tracelake.name" . }}-postgres{{ else }}{{ required "database.existingSecret must name the secret with the URL of Postgres (or set bundled.enabled to try Tracelake out)" .Values.database.existingSecret }}{{ end }}
{{- end -}}

{{- define "tracelake.databaseKey" -}}
{{- if .Values.bundled.enabled }}url{{ else }}{{ .Values.database.key }}{{ end }}
{{- end -}}

{{- define "tracelake.natsReplicas" -}}
{{- if .Values.bundled.enabled }}1{{ else }}{{ .Values.nats.replicas }}{{ end }}
{{- end -}}

{{- define "tracelake.objectStoreUrl" -}}
{{- if and .Values.objectStore.persistentVolume.enabled (not .Values.objectStore.url) }}file:///data/objects{{ else }}{{ required "objectStore.url must be s3://bucket/prefix, or set objectStore.persistentVolume.enabled" .Values.objectStore.url }}{{ end }}
{{- end -}}

{{- define "tracelake.databaseEnv" -}}
- name: TRACELAKE_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ include "tracelake.databaseSecret" . }}, key: {{ include "tracelake.databaseKey" . }}}
{{- end -}}

{{- define "tracelake.objectStoreEnv" -}}
- name: TRACELAKE_OBJECT_STORE_URL
  value: {{ include "tracelake.objectStoreUrl" . | quote }}
{{- with .Values.objectStore.s3EndpointUrl }}
- name: TRACELAKE_S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if not .Values.objectStore.persistentVolume.enabled }}
- name: AWS_REGION
  value: {{ .Values.objectStore.region | quote }}
{{- with .Values.objectStore.existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tracelake.objectVolumeClaim" -}}
{{ .Values.objectStore.persistentVolume.existingClaim | default (printf "%s-objects" (include "tracelake.name" .)) }}
{{- end -}}

{{- /* The environment that all components share. */ -}}
{{- define "tracelake.env" -}}
{{ include "tracelake.databaseEnv" . }}
- name: TRACELAKE_DATABASE_POOL_CONNECTIONS
  value: {{ .Values.database.poolConnections | quote }}
- name: TRACELAKE_NATS_URL
{{- if .Values.bundled.enabled }}
  value: nats://{{ include "tracelake.name" . }}-nats:4222
{{- else if .Values.nats.existingSecret }}
  valueFrom:
    secretKeyRef: {name: {{ .Values.nats.existingSecret }}, key: {{ .Values.nats.key }}}
{{- else }}
  value: {{ required "nats.url must be the URL of NATS, as nats://nats:4222" .Values.nats.url | quote }}
{{- end }}
- name: TRACELAKE_NATS_REPLICAS
  value: {{ include "tracelake.natsReplicas" . | quote }}
{{ include "tracelake.objectStoreEnv" . }}
{{- if .Values.auth.existingSecret }}
- name: TRACELAKE_API_KEYS
  value: /etc/tracelake/keys/{{ .Values.auth.key }}
{{- else if .Values.auth.allowAnonymous }}
- name: TRACELAKE_ALLOW_ANONYMOUS
  value: "true"
{{- else }}
{{- fail "set auth.existingSecret to a secret with API keys, or auth.allowAnonymous=true where only trusted peers can connect" }}
{{- end }}
- name: TRACELAKE_LANES
  value: {{ .Values.lanes | quote }}
- name: TRACELAKE_MAX_BODY_BYTES
  value: {{ .Values.maxBodyBytes | int64 | quote }}
- name: TRACELAKE_SHUTDOWN_GRACE_S
  value: {{ .Values.shutdownGraceSeconds | quote }}
{{- end -}}

{{- define "tracelake.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "tracelake.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}
