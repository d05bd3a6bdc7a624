{{/* Names and labels. A component is "fleet" or "engine". */}}
{{- define "kvproxy.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "kvproxy.selector" -}}
app.kubernetes.io/name: kvproxy
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "kvproxy.labels" -}}
{{ include "kvproxy.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "kvproxy.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "kvproxy.name" .) }}
{{- end }}

{{/* The settings of a component: its own before the common ones. */}}
{{- define "kvproxy.config" -}}
{{- $own := index .root.Values .component "config" -}}
{{- $fixed := dict "server" (dict "host" "0.0.0.0" "port" 8321) -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.config) (deepCopy $own) $fixed) }}
{{- end }}

{{- define "kvproxy.image" -}}
{{- $values := index .root.Values .component -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- $target := .component -}}
{{- if eq .component "engine" }}{{ $target = ternary "cuda" "cpu" (gt (int $values.gpus) 0) }}{{ end -}}
{{ required "image.repository: build the image from deploy/docker and name its place" .root.Values.image.repository }}:{{ $values.imageTag | default (printf "%s-%s" $tag $target) }}
{{- end }}

{{/* The pod of a component. */}}
{{- define "kvproxy.pod" -}}
{{- $values := index .root.Values .component -}}
{{- $secrets := .root.Values.secrets -}}
metadata:
  labels:
    {{- include "kvproxy.labels" . | nindent 4 }}
  annotations:
    kvproxy/config: {{ include "kvproxy.config" . | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "kvproxy.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- if $secrets.identity }}
  initContainers:
    # The proxy refuses keys that others than their owner may read, which files of a Secret always are.
    - name: identity
      image: {{ include "kvproxy.image" . }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command:
        - /bin/sh
        - -ec
        - |
          umask 077
          mkdir -p /var/lib/kvproxy/host-keys
          cp /identity/keys.secret /var/lib/kvproxy/keys.secret
          for file in /identity/*.jwk /identity/pseudonyms.secret; do cp "$file" /var/lib/kvproxy/host-keys/; done
          chmod 600 /var/lib/kvproxy/keys.secret /var/lib/kvproxy/host-keys/*
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        requests: {cpu: 50m, memory: 32Mi}
        limits: {memory: 64Mi}
      volumeMounts:
        - {name: store, mountPath: /var/lib/kvproxy}
        - {name: identity, mountPath: /identity, readOnly: true}
  {{- end }}
  containers:
    - name: kvproxy
      image: {{ include "kvproxy.image" . }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [serve]
      ports:
        - {name: http, containerPort: 8321}
      {{- with $secrets.env }}
      env:
        {{- range . }}
        - name: {{ .name }}
          valueFrom:
            secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}
        {{- end }}
      {{- end }}
      startupProbe:
        httpGet: {path: /health/live, port: http}
        {{- toYaml .root.Values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: {path: /health/live, port: http}
        {{- toYaml .root.Values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /health/ready, port: http}
        {{- toYaml .root.Values.probes.readiness | nindent 8 }}
      lifecycle:
        preStop:
          exec: {command: [sleep, {{ .root.Values.preStopSeconds | quote }}]}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- $resources := deepCopy $values.resources }}
        {{- if eq .component "engine" }}{{- if gt (int $values.gpus) 0 }}
        {{- $resources = mergeOverwrite $resources (dict "limits" (dict "nvidia.com/gpu" (int $values.gpus))) }}
        {{- end }}{{- end }}
        {{- toYaml $resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/kvproxy, readOnly: true}
        - {name: store, mountPath: /var/lib/kvproxy}
        - {name: tmp, mountPath: /tmp}
        {{- if $secrets.files }}
        - {name: secrets, mountPath: /run/secrets/kvproxy, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "kvproxy.name" .root }}-{{ .component }}}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    {{- if eq .component "fleet" }}
    - name: store
      emptyDir: {sizeLimit: {{ $values.cacheSize }}}
    {{- end }}
    {{- if $secrets.identity }}
    - name: identity
      secret: {secretName: {{ $secrets.identity }}, defaultMode: 0440}
    {{- end }}
    {{- with $secrets.files }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range . }}
          - secret:
              name: {{ .secret }}
              items: [{key: {{ .key }}, path: {{ .name }}}]
          {{- end }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not $values.affinity }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "kvproxy.selector" . | nindent 10 }}
  {{- end }}
{{- end }}
