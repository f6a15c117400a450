{{- define "impasto.selector" -}}
app.kubernetes.io/name: impasto
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: service
{{- end }}

{{- define "impasto.labels" -}}
app.kubernetes.io/part-of: impasto
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "impasto.settings" -}}
{{- $settings := dict
  "IMPASTO_HOST" "0.0.0.0"
  "IMPASTO_PORT" "8000"
  "IMPASTO_CHECKPOINTS" "/checkpoints"
  "IMPASTO_ALLOW_ANONYMOUS" (ternary "true" "false" (empty .Values.keys.secret))
  "IMPASTO_DRAIN_SECONDS" "30"
  "IMPASTO_LOG_LEVEL" "info" }}
{{- with .Values.keys.secret }}{{ $_ := set $settings "IMPASTO_KEYS_FILE" "/etc/impasto/keys/keys.toml" }}{{ end }}
{{- with .Values.checkpoints.claim }}{{ $_ := set $settings "IMPASTO_WATCH_SECONDS" "10" }}{{ end }}
{{- with .Values.checkpoints.image }}{{ $_ := set $settings "IMPASTO_CHECKPOINT_DIGESTS" "require" }}{{ end }}
{{- if .Values.learning.enabled }}
{{- $_ := set $settings "IMPASTO_LEARNED" "/learned" }}
{{- $_ := set $settings "IMPASTO_TRAINER" "external" }}
{{- end }}
{{- with .Values.probePort }}{{ $_ := set $settings "IMPASTO_PROBE_PORT" (toString .) }}{{ end }}
{{- if .Values.jobStore.secret }}{{ $_ := set $settings "IMPASTO_MAX_JOBS" "1000" }}{{ end }}
{{- if .Values.quotaStore.secret }}{{ $_ := set $settings "IMPASTO_QUOTA_FAIL" .Values.quotaStore.fail }}{{ end }}
{{- with .Values.webhooks.hosts }}
{{- $_ := set $settings "IMPASTO_WEBHOOK_HOSTS" . }}
{{- $_ := set $settings "IMPASTO_WEBHOOK_KEYS_FILE" "/etc/impasto/webhooks/webhook.keys" }}
{{- end }}
{{- if .Values.otlp.endpoint }}
{{- $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.otlp.endpoint }}
{{- $_ := set $settings "OTEL_SERVICE_NAME" "impasto" }}
{{- $_ := set $settings "OTEL_TRACES_SAMPLER" "parentbased_traceidratio" }}
{{- $_ := set $settings "OTEL_TRACES_SAMPLER_ARG" .Values.otlp.sampling }}
{{- end }}
{{- range $name, $value := mergeOverwrite $settings .Values.settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* Its name has a hash of its content, as Kustomize's: a changed setting rolls the pods. */}}
{{- define "impasto.settingsName" -}}
{{ .Release.Name }}-settings-{{ include "impasto.settings" . | sha256sum | trunc 10 }}
{{- end }}

{{- define "impasto.probePortName" -}}
{{ ternary "probes" "http" (gt (int .Values.probePort) 0) }}
{{- end }}

{{- define "impasto.image" -}}
{{ .repository }}{{ with .digest }}@{{ . }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "impasto.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "impasto.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "impasto.learned" -}}
{{ default (printf "%s-learned" .Release.Name) .Values.learning.claim }}
{{- end }}

{{- define "impasto.trainerSelector" -}}
app.kubernetes.io/name: impasto
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: trainer
{{- end }}

{{- define "impasto.egressToNames" -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{- define "impasto.egressTo" -}}
{{ include "impasto.egressToNames" . }}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end }}

{{- define "impasto.egress" -}}
{{- with .Values.jobStore }}{{ if .secret }}
{{ include "impasto.egressTo" .egress }}
{{- end }}{{ end }}
{{- with .Values.quotaStore }}{{ if and .secret (not (and $.Values.jobStore.secret (deepEqual .egress $.Values.jobStore.egress))) }}
{{ include "impasto.egressTo" .egress }}
{{- end }}{{ end }}
{{- with .Values.otlp }}{{ if .endpoint }}
{{ include "impasto.egressTo" .egress }}
{{- end }}{{ end }}
{{- if .Values.webhooks.hosts }}
{{ include "impasto.egressToNames" . }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        except: ["fc00::/7", "fe80::/10"]
  ports:
    - {protocol: TCP, port: 443}
{{- end }}
{{- with .Values.networkPolicy.egress }}
{{ toYaml . }}
{{- end }}
{{- end }}
