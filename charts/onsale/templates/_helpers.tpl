{{/* Names, labels and everything that more than one template asks: images, settings, secrets, who calls whom. */}}

{{- define "onsale.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list root component) */}}
{{- define "onsale.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* (list root component) */}}
{{- define "onsale.labels" -}}
{{- $root := index . 0 -}}
{{ include "onsale.selector" . }}
app.kubernetes.io/part-of: onsale
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (list root image-name service-or-empty-dict) */}}
{{- define "onsale.image" -}}
{{- $root := index . 0 -}}
{{- $own := default dict (index . 2).image -}}
{{- $tag := default (default $root.Chart.AppVersion $root.Values.image.tag) $own.tag -}}
{{- with $root.Values.image.registry -}}{{ . }}/{{- end -}}
{{- with $root.Values.image.repository -}}{{ . }}/{{- end -}}
{{- default (index . 1) $own.name -}}:{{ $tag }}
{{- end -}}

{{- define "onsale.enabled" -}}
{{- if ne (toString (default dict .).enabled) "false" -}}true{{- end -}}
{{- end -}}

{{/* The services that run, as a regular expression. */}}
{{- define "onsale.running" -}}
{{- $names := list -}}
{{- range $name, $service := .Values.services -}}
{{- if and $service (include "onsale.enabled" $service) -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- join "|" $names -}}
{{- end -}}

{{/* null takes back what a values file set. (service) */}}
{{- define "onsale.hasReplicas" -}}
{{- if hasKey . "replicas" -}}{{- if not (kindIs "invalid" .replicas) -}}true{{- end -}}{{- end -}}
{{- end -}}

{{/* The part of the demo that replaces a dependency: temporal, mongodb, valkey or stripeSim. (list root part) */}}
{{- define "onsale.demoPart" -}}
{{- $root := index . 0 -}}
{{- if and $root.Values.demo.enabled (index $root.Values.demo (index . 1)).enabled -}}true{{- end -}}
{{- end -}}

{{/* Does it take part in gRPC, and so need to prove who it is? (list root service) */}}
{{- define "onsale.speaksGrpc" -}}
{{- $root := index . 0 -}}{{- $service := index . 1 -}}
{{- $speaks := eq $service.kind "grpc" -}}
{{- range $callee := $service.calls -}}
{{- $other := get $root.Values.services $callee -}}
{{- if and $other (eq $other.kind "grpc") -}}{{- $speaks = true -}}{{- end -}}
{{- end -}}
{{- if $speaks -}}true{{- end -}}
{{- end -}}

{{- define "onsale.certificates" -}}
{{- $tls := .Values.trust.mutualTls -}}
{{- if $tls.enabled -}}
{{- if ne $tls.certificates "auto" -}}{{ $tls.certificates }}
{{- else if .Capabilities.APIVersions.Has "cert-manager.io/v1" -}}certManager
{{- else -}}job
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret with a service's certificate. (list root name) */}}
{{- define "onsale.tlsSecret" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- if eq $root.Values.trust.mutualTls.certificates "existing" -}}
{{- get $root.Values.trust.mutualTls.existingSecrets $name -}}
{{- else -}}
{{- printf "%s-%s-tls" (include "onsale.fullname" $root) $name -}}
{{- end -}}
{{- end -}}

{{- define "onsale.temporalAddress" -}}
{{- if include "onsale.demoPart" (list . "temporal") -}}{{ include "onsale.fullname" . }}-temporal:7233
{{- else -}}{{ .Values.dependencies.temporal.address }}{{- end -}}
{{- end -}}

{{/* Empty: it is in the Secret. */}}
{{- define "onsale.mongodbUri" -}}
{{- if include "onsale.demoPart" (list . "mongodb") -}}mongodb://{{ include "onsale.fullname" . }}-mongodb:27017/?directConnection=true
{{- else -}}{{ .Values.dependencies.mongodb.uri }}{{- end -}}
{{- end -}}

{{/* Empty: it is in the Secret. */}}
{{- define "onsale.redisUrl" -}}
{{- if include "onsale.demoPart" (list . "valkey") -}}redis://{{ include "onsale.fullname" . }}-valkey:6379
{{- else -}}{{ .Values.dependencies.valkey.url }}{{- end -}}
{{- end -}}

{{- define "onsale.stripeApiBase" -}}
{{- if include "onsale.demoPart" (list . "stripeSim") -}}http://{{ include "onsale.fullname" . }}-stripe-sim:12111
{{- else -}}{{ .Values.dependencies.stripe.apiBase }}{{- end -}}
{{- end -}}

{{/* How to reach a Temporal with TLS, as a YAML map of settings. */}}
{{- define "onsale.temporalTls" -}}
{{- $tls := .Values.dependencies.temporal.tls -}}
{{- $settings := dict -}}
{{- if $tls.enabled -}}
{{- $_ := set $settings "TEMPORAL_TLS" "true" -}}
{{- with $tls.serverName -}}{{- $_ := set $settings "TEMPORAL_TLS_SERVER_NAME" . -}}{{- end -}}
{{- if $tls.caSecret -}}{{- $_ := set $settings "TEMPORAL_TLS_CA" "/trusted/temporal/ca.crt" -}}{{- end -}}
{{- if $tls.clientSecret -}}
{{- $_ := set $settings "TEMPORAL_TLS_CERT" "/trusted/temporal-client/tls.crt" -}}
{{- $_ := set $settings "TEMPORAL_TLS_KEY" "/trusted/temporal-client/tls.key" -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* Does it tell a collector of its part in a trace? (list root name) */}}
{{- define "onsale.traces" -}}
{{- if and (index . 0).Values.tracing.endpoint (ne (index . 1) "storefront") -}}true{{- end -}}
{{- end -}}

{{/* Are the pages at the public address too? */}}
{{- define "onsale.hasPages" -}}
{{- range .Values.routes -}}{{- if and (eq .path "/") (eq .service "storefront") -}}true{{- end -}}{{- end -}}
{{- end -}}

{{/* The settings of a service that are no secrets, as a YAML map. (list root name service) */}}
{{- define "onsale.settings" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $service := index . 2 -}}
{{- $full := include "onsale.fullname" $root -}}
{{- $drain := include "onsale.drain" (list $service) | fromYaml -}}
{{- $settings := dict
  "NODE_ENV" "production"
  "LOG_LEVEL" $root.Values.logLevel
  "OPS_LISTEN" "0.0.0.0:9090"
  "SHUTDOWN_GRACE_SECONDS" (toString (int $drain.graceSeconds)) -}}
{{- if eq $service.kind "http" -}}
{{- $_ := set $settings (ternary "CODEC_LISTEN" "HTTP_LISTEN" (eq $name "codec")) "0.0.0.0:8080" -}}
{{- else if eq $service.kind "grpc" -}}
{{- $_ := set $settings "GRPC_LISTEN" "0.0.0.0:7000" -}}
{{- $_ := set $settings "GRPC_HEALTH_LISTEN" "0.0.0.0:7001" -}}
{{- end -}}
{{- range $callee := $service.calls -}}
{{- if eq $callee "temporal" -}}
{{- $_ := set $settings "TEMPORAL_ADDRESS" (include "onsale.temporalAddress" $root) -}}
{{- $_ := set $settings "TEMPORAL_NAMESPACE" $root.Values.dependencies.temporal.namespace -}}
{{- range $key, $value := include "onsale.temporalTls" $root | fromYaml -}}{{- $_ := set $settings $key $value -}}{{- end -}}
{{- else if eq $callee "mongodb" -}}
{{- $_ := set $settings "MONGODB_DATABASE" $root.Values.dependencies.mongodb.database -}}
{{- with include "onsale.mongodbUri" $root -}}{{- $_ := set $settings "MONGODB_URI" . -}}{{- end -}}
{{- else if eq $callee "valkey" -}}
{{- with include "onsale.redisUrl" $root -}}{{- $_ := set $settings "REDIS_URL" . -}}{{- end -}}
{{- if $root.Values.dependencies.valkey.caSecret -}}{{- $_ := set $settings "REDIS_TLS_CA" "/trusted/valkey/ca.crt" -}}{{- end -}}
{{- else if eq $callee "stripe" -}}
{{- with include "onsale.stripeApiBase" $root -}}{{- $_ := set $settings "STRIPE_API_BASE" . -}}{{- end -}}
{{- else if eq (default dict (get $root.Values.services $callee)).kind "http" -}}
{{- $_ := set $settings (printf "%s_URL" ($callee | upper | replace "-" "_")) (printf "http://%s-%s:8080" $full $callee) -}}
{{- else -}}
{{- $_ := set $settings (printf "%s_ADDRESS" ($callee | upper | replace "-" "_")) (printf "%s-%s:7000" $full $callee) -}}
{{- end -}}
{{- end -}}
{{- if and $root.Values.trust.mutualTls.enabled (include "onsale.speaksGrpc" (list $root $service)) -}}
{{- $_ := set $settings "GRPC_TLS_CA" "/tls/ca.crt" -}}
{{- $_ := set $settings "GRPC_TLS_CERT" "/tls/tls.crt" -}}
{{- $_ := set $settings "GRPC_TLS_KEY" "/tls/tls.key" -}}
{{- end -}}
{{- if eq $name "gateway" -}}
{{- with $root.Values.publicUrl -}}
{{- $_ := set $settings "PUBLIC_URL" . -}}
{{- if include "onsale.hasPages" $root -}}{{- $_ := set $settings "STOREFRONT_URL" . -}}{{- end -}}
{{- end -}}
{{- else if eq $name "storefront" -}}
{{- with $root.Values.dependencies.stripe.publishableKey -}}{{- $_ := set $settings "STRIPE_PUBLISHABLE_KEY" . -}}{{- end -}}
{{- if include "onsale.demoPart" (list $root "stripeSim") -}}
{{- $_ := set $settings "CARD_PAGE_URL" (printf "%s/card" ($root.Values.demo.stripeSim.publicUrl | trimSuffix "/")) -}}
{{- end -}}
{{- end -}}
{{- with $root.Values.dependencies.temporal.uiUrl -}}
{{- if has $name (list "gateway" "storefront") -}}{{- $_ := set $settings "TEMPORAL_UI_URL" . -}}{{- end -}}
{{- /* An origin has no path. */ -}}
{{- if eq $name "codec" -}}{{- $_ := set $settings "CODEC_ORIGINS" (regexFind "^https?://[^/]+" .) -}}{{- end -}}
{{- end -}}
{{- if include "onsale.traces" (list $root $name) -}}
{{- $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" $root.Values.tracing.endpoint -}}
{{- $_ := set $settings "OTEL_TRACES_SAMPLER_ARG" (toString $root.Values.tracing.share) -}}
{{- end -}}
{{- if eq $service.kind "worker" -}}
{{- $_ := set $settings "WORKER_VERSIONING" (toString $root.Values.workerVersioning.enabled) -}}
{{- if $root.Values.workerVersioning.enabled -}}
{{- $_ := set $settings "WORKER_PROMOTE" "true" -}}
{{- $_ := set $settings "WORKER_STEADY_SECONDS" (toString (int $root.Values.workerVersioning.steadySeconds)) -}}
{{- $_ := set $settings "DEPLOYMENT_NAME" $root.Values.workerVersioning.deploymentName -}}
{{- $_ := set $settings "DRAIN_SECONDS" (toString (int $root.Values.workerVersioning.drainSeconds)) -}}
{{- $_ := set $settings "UNREACHABLE_SECONDS" (toString (int $root.Values.workerVersioning.unreachableSeconds)) -}}
{{- $_ := set $settings "SETTLE_SECONDS" (toString (int $root.Values.workerVersioning.settleSeconds)) -}}
{{- end -}}
{{- if $root.Values.monitoring.serviceMonitor.enabled -}}
{{- $_ := set $settings "TEMPORAL_METRICS_LISTEN" "0.0.0.0:9091" -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $service.config -}}{{- $_ := set $settings $key (toString $value) -}}{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* preStop, then the process's own grace, then some air before the kubelet kills. (list service) */}}
{{- define "onsale.drain" -}}
{{- $drain := default dict (index . 0).drain -}}
preStopSeconds: {{ if hasKey $drain "preStopSeconds" }}{{ int $drain.preStopSeconds }}{{ else }}8{{ end }}
graceSeconds: {{ if hasKey $drain "graceSeconds" }}{{ int $drain.graceSeconds }}{{ else }}15{{ end }}
{{- end -}}

{{- define "onsale.secretSettings" -}}
mongodbUri: MONGODB_URI
redisUrl: REDIS_URL
grpcSharedSecret: GRPC_SHARED_SECRET
idempotencySecret: IDEMPOTENCY_SECRET
accountKeySecret: ACCOUNT_KEY_SECRET
accountKeySecretPrevious: ACCOUNT_KEY_SECRET_PREVIOUS
ticketKeySecret: TICKET_KEY_SECRET
ticketKeySecretPrevious: TICKET_KEY_SECRET_PREVIOUS
stripeSecretKey: STRIPE_SECRET_KEY
stripeWebhookSecret: STRIPE_WEBHOOK_SECRET
accessCodeSecret: ACCESS_CODE_SECRET
payloadEncryptionKeys: PAYLOAD_ENCRYPTION_KEYS
temporalApiKey: TEMPORAL_API_KEY
otlpHeaders: OTEL_EXPORTER_OTLP_HEADERS
operatorEmail: ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL
operatorPassword: ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD
{{- end -}}

{{/* May the Secret lack it? */}}
{{- define "onsale.isOptional" -}}
{{- if has . (list "accountKeySecretPrevious" "ticketKeySecretPrevious" "accessCodeSecret" "otlpHeaders" "operatorEmail" "operatorPassword") -}}true{{- end -}}
{{- end -}}

{{/* Where one secret lies, as a secretKeyRef. (list root key) */}}
{{- define "onsale.secretRef" -}}
{{- $root := index . 0 -}}{{- $key := index . 1 -}}
{{- $from := get $root.Values.secrets.from $key -}}
{{- if $from -}}
name: {{ $from.name }}
key: {{ $from.key }}
{{- else -}}
name: {{ ternary (printf "%s-demo" (include "onsale.fullname" $root)) $root.Values.secrets.existingSecret $root.Values.demo.enabled }}
key: {{ get $root.Values.secrets.keys $key }}
{{- end }}
{{- if include "onsale.isOptional" $key }}
optional: true
{{- end -}}
{{- end -}}

{{/* The names of the secrets that a service gets: only its own. As YAML: keys. (list root service name) */}}
{{- define "onsale.secretKeys" -}}
{{- $root := index . 0 -}}{{- $service := index . 1 -}}
{{- $keys := list -}}
{{- if and $root.Values.trust.sharedSecret (include "onsale.speaksGrpc" (list $root $service)) -}}{{- $keys = append $keys "grpcSharedSecret" -}}{{- end -}}
{{- if and (has "mongodb" $service.calls) (not (include "onsale.mongodbUri" $root)) -}}{{- $keys = append $keys "mongodbUri" -}}{{- end -}}
{{- if and (has "valkey" $service.calls) (not (include "onsale.redisUrl" $root)) -}}{{- $keys = append $keys "redisUrl" -}}{{- end -}}
{{- if has "temporal" $service.calls -}}
{{- if $root.Values.dependencies.temporal.apiKey -}}{{- $keys = append $keys "temporalApiKey" -}}{{- end -}}
{{- if $root.Values.dependencies.temporal.encryptPayloads -}}{{- $keys = append $keys "payloadEncryptionKeys" -}}{{- end -}}
{{- end -}}
{{- if include "onsale.traces" (list $root (index . 2)) -}}{{- $keys = append $keys "otlpHeaders" -}}{{- end -}}
{{- range $service.secrets -}}{{- $keys = append $keys . -}}{{- end -}}
{{- toYaml (dict "keys" $keys) -}}
{{- end -}}

{{/* env entries of secrets. (list root keys) */}}
{{- define "onsale.secretEnv" -}}
{{- $root := index . 0 -}}
{{- $names := include "onsale.secretSettings" $root | fromYaml -}}
{{- range $key := index . 1 }}
- name: {{ get $names $key }}
  valueFrom:
    secretKeyRef:
      {{- include "onsale.secretRef" (list $root $key) | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Secrets with authorities and certificates for the ways to dependencies, by folder. As YAML. (list root calls) */}}
{{- define "onsale.trusted" -}}
{{- $root := index . 0 -}}
{{- $folders := dict -}}
{{- if has "valkey" (index . 1) -}}
{{- with $root.Values.dependencies.valkey.caSecret -}}{{- $_ := set $folders "valkey" . -}}{{- end -}}
{{- end -}}
{{- if has "temporal" (index . 1) -}}
{{- with $root.Values.dependencies.temporal.tls.caSecret -}}{{- $_ := set $folders "temporal" . -}}{{- end -}}
{{- with $root.Values.dependencies.temporal.tls.clientSecret -}}{{- $_ := set $folders "temporal-client" . -}}{{- end -}}
{{- end -}}
{{- toYaml $folders -}}
{{- end -}}

{{- define "onsale.trustedMounts" -}}
{{- range $folder, $secret := include "onsale.trusted" . | fromYaml }}
- { name: trusted-{{ $folder }}, mountPath: /trusted/{{ $folder }}, readOnly: true }
{{- end -}}
{{- end -}}

{{- define "onsale.trustedVolumes" -}}
{{- range $folder, $secret := include "onsale.trusted" . | fromYaml }}
- { name: trusted-{{ $folder }}, secret: { secretName: {{ $secret }}, defaultMode: 288 } }
{{- end -}}
{{- end -}}

{{/* What the restricted Pod Security Standard asks of a pod, and of a container. */}}
{{- define "onsale.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.pods.runAsUser }}
runAsGroup: {{ .Values.pods.runAsGroup }}
fsGroup: {{ .Values.pods.runAsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "onsale.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* What every pod of ours has besides its containers. (list root service-or-empty-dict) */}}
{{- define "onsale.podCommon" -}}
{{- $root := index . 0 -}}{{- $service := index . 1 -}}
enableServiceLinks: false
securityContext:
  {{- include "onsale.podSecurity" $root | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with default $root.Values.pods.priorityClassName $service.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with default $root.Values.pods.nodeSelector $service.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $root.Values.pods.tolerations $service.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $service.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* One egress rule. Peers that are not given mean any address. (list peers ports) */}}
{{- define "onsale.egress" -}}
- ports:
  {{- range index . 1 }}
    - { port: {{ int . }}, protocol: TCP }
  {{- end }}
  {{- with index . 0 }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "onsale.dnsEgress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
  to:
    {{- toYaml .Values.networkPolicy.dnsPeers | nindent 4 }}
{{- end -}}

{{/* Egress to a dependency: its pods in the demo, else where the values say. (list root dependency) */}}
{{- define "onsale.dependencyEgress" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- $part := ternary "stripeSim" $name (eq $name "stripe") -}}
{{- if include "onsale.demoPart" (list $root $part) -}}
{{- $component := ternary "stripe-sim" $name (eq $name "stripe") -}}
{{- $port := get (dict "temporal" 7233 "mongodb" 27017 "valkey" 6379 "stripe" 12111) $name -}}
{{- include "onsale.egress" (list (list (dict "podSelector" (dict "matchLabels" (include "onsale.selector" (list $root $component) | fromYaml)))) (list $port)) -}}
{{- else -}}
{{- $dependency := get $root.Values.dependencies $name -}}
{{- include "onsale.egress" (list $dependency.peers $dependency.ports) -}}
{{- end -}}
{{- end -}}
