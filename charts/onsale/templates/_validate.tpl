{{/* What the schema can't say: modes that contradict each other, addresses that are missing. All of it in one message. */}}
{{- define "onsale.validate" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- $missing := list -}}
{{- $called := list -}}
{{- range $name, $service := $v.services -}}
{{- if and $service (include "onsale.enabled" $service) -}}
{{- $called = concat $called $service.calls | uniq -}}
{{- end -}}
{{- end -}}

{{- if and (has "temporal" $called) (not (include "onsale.temporalAddress" .)) -}}
{{- $wrong = append $wrong "There is no Temporal: set dependencies.temporal.address to the host:port of its frontend, or install the demo (-f values-demo.yaml)." -}}
{{- end -}}
{{- range $name, $field := dict "temporal" "address" "mongodb" "uri" "valkey" "url" -}}
{{- if and (include "onsale.demoPart" (list $ $name)) (get (get $v.dependencies $name) $field) -}}
{{- $wrong = append $wrong (printf "demo.%s.enabled and dependencies.%s.%s contradict each other: one starts it here, the other names one elsewhere. Set demo.%s.enabled to false, or clear dependencies.%s.%s." $name $name $field $name $name $field) -}}
{{- end -}}
{{- end -}}
{{- if and (include "onsale.demoPart" (list . "stripeSim")) $v.dependencies.stripe.apiBase -}}
{{- $wrong = append $wrong "demo.stripeSim.enabled and dependencies.stripe.apiBase contradict each other: set the first to false, or clear the second." -}}
{{- end -}}
{{- $temporal := $v.dependencies.temporal -}}
{{- range $field := list "serverName" "caSecret" "clientSecret" -}}
{{- if and (get $temporal.tls $field) (not $temporal.tls.enabled) -}}
{{- $wrong = append $wrong (printf "dependencies.temporal.tls.%s is for TLS, but dependencies.temporal.tls.enabled is false: set that to true, or clear %s." $field $field) -}}
{{- end -}}
{{- end -}}
{{- if and $temporal.apiKey (not $temporal.tls.enabled) -}}
{{- $wrong = append $wrong "dependencies.temporal.apiKey would send the key in the clear: set dependencies.temporal.tls.enabled to true." -}}
{{- end -}}
{{- if and (include "onsale.demoPart" (list . "temporal")) $temporal.tls.enabled -}}
{{- $wrong = append $wrong "demo.temporal.enabled and dependencies.temporal.tls.enabled contradict each other: the demo's Temporal speaks no TLS. Set one of them to false." -}}
{{- end -}}
{{- if and $v.dependencies.valkey.caSecret (hasPrefix "redis:" (replace "+cluster" "" (include "onsale.redisUrl" .))) -}}
{{- $wrong = append $wrong "dependencies.valkey.caSecret is for TLS, but the address begins with redis: write rediss (as in rediss://host:6379), or clear caSecret." -}}
{{- end -}}
{{- $codec := get $v.services "codec" -}}
{{- if and $codec (include "onsale.enabled" $codec) -}}
{{- if not $temporal.encryptPayloads -}}
{{- $wrong = append $wrong "services.codec decrypts what is encrypted for Temporal, but dependencies.temporal.encryptPayloads is false: set that to true, or services.codec.enabled to false." -}}
{{- end -}}
{{- if not (or $temporal.uiUrl (get (default dict $codec.config) "CODEC_ORIGINS")) -}}
{{- $wrong = append $wrong "services.codec answers the Temporal Web UI only: set dependencies.temporal.uiUrl to where operators have it, as https://temporal.example.com." -}}
{{- end -}}
{{- end -}}
{{- $pages := get $v.services "storefront" -}}
{{- if and $pages (include "onsale.enabled" $pages) -}}
{{- if include "onsale.demoPart" (list . "stripeSim") -}}
{{- if $v.dependencies.stripe.publishableKey -}}
{{- $wrong = append $wrong "demo.stripeSim.enabled and dependencies.stripe.publishableKey contradict each other: the key is for Stripe's own card form. Set the first to false, or clear the second." -}}
{{- end -}}
{{- else if not (or $v.dependencies.stripe.publishableKey (get (default dict $pages.config) "CARD_PAGE_URL")) -}}
{{- $wrong = append $wrong "The storefront could take no cards: set dependencies.stripe.publishableKey to Stripe's pk_…, or services.storefront.enabled to false (and take it out of routes)." -}}
{{- end -}}
{{- end -}}
{{- if and $v.demo.enabled $v.secrets.existingSecret -}}
{{- $wrong = append $wrong "demo.enabled and secrets.existingSecret contradict each other: a demo's secrets can be computed by anyone and must not stand beside real ones. Set demo.enabled to false, or clear secrets.existingSecret (secrets.from may name single ones)." -}}
{{- end -}}

{{- range $name, $service := $v.services -}}
{{- if and $service (include "onsale.enabled" $service) -}}
{{- if not (or $v.demo.enabled $v.secrets.existingSecret) -}}
{{- range $key := (include "onsale.secretKeys" (list $ $service $name) | fromYaml).keys -}}
{{- if not (or (get $v.secrets.from $key) (include "onsale.isOptional" $key)) -}}
{{- $missing = append $missing $key | uniq -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $callee := $service.calls -}}
{{- if not (has $callee (list "temporal" "mongodb" "valkey" "stripe")) -}}
{{- $other := get $v.services $callee -}}
{{- if not (and $other (include "onsale.enabled" $other)) -}}
{{- $wrong = append $wrong (printf "services.%s.calls names %s, which does not run: enable services.%s, or take it out of the list." $name $callee $callee) -}}
{{- else if eq $other.kind "worker" -}}
{{- $wrong = append $wrong (printf "services.%s.calls names %s, which serves nothing (its kind is worker): take it out of the list." $name $callee) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $secrets := values (include "onsale.secretSettings" $ | fromYaml) -}}
{{- range $key, $_ := $service.config -}}
{{- if and (has $key $secrets) (not (has $key (list "MONGODB_URI" "REDIS_URL"))) -}}
{{- $wrong = append $wrong (printf "services.%s.config.%s is a secret, and values are not: put it into the Secret that secrets.existingSecret names." $name $key) -}}
{{- end -}}
{{- end -}}
{{- if and $service.host (ne $service.kind "http") -}}
{{- $wrong = append $wrong (printf "services.%s.host is for services of kind http, and its kind is %s: clear host." $name $service.kind) -}}
{{- end -}}
{{- $scaling := default dict $service.autoscaling -}}
{{- if and $scaling.enabled (include "onsale.hasReplicas" $service) -}}
{{- $wrong = append $wrong (printf "services.%s.replicas and services.%s.autoscaling.enabled contradict each other: set autoscaling.min instead of replicas, or autoscaling.enabled to false." $name $name) -}}
{{- end -}}
{{- if and $scaling.enabled (gt (int $scaling.min) (int $scaling.max)) -}}
{{- $wrong = append $wrong (printf "services.%s.autoscaling.min (%d) is more than max (%d): raise max, or lower min." $name (int $scaling.min) (int $scaling.max)) -}}
{{- end -}}
{{- $drain := include "onsale.drain" (list $service) | fromYaml -}}
{{- $need := add (int $drain.preStopSeconds) (int $drain.graceSeconds) 5 -}}
{{- if and (eq $service.kind "worker") $v.workerVersioning.enabled -}}{{- $need = add (int $v.workerVersioning.drainSeconds) (int $drain.graceSeconds) 5 -}}{{- end -}}
{{- if and $service.terminationGracePeriodSeconds (lt (int $service.terminationGracePeriodSeconds) (int $need)) -}}
{{- $wrong = append $wrong (printf "services.%s.terminationGracePeriodSeconds (%d) is shorter than its drain needs (%d): the kubelet would kill it in the middle. Raise it, leave it out, or shorten services.%s.drain." $name (int $service.terminationGracePeriodSeconds) (int $need) $name) -}}
{{- end -}}
{{- if and (eq $v.trust.mutualTls.certificates "existing") $v.trust.mutualTls.enabled (include "onsale.speaksGrpc" (list $ $service)) (not (get $v.trust.mutualTls.existingSecrets $name)) -}}
{{- $wrong = append $wrong (printf "trust.mutualTls.certificates is existing, but trust.mutualTls.existingSecrets has no Secret for %s." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if has "mongodbUri" $missing -}}
{{- $wrong = append $wrong "There is no MongoDB: set dependencies.mongodb.uri, or secrets.existingSecret to a Secret that has it as mongodb-uri." -}}
{{- end -}}
{{- if has "redisUrl" $missing -}}
{{- $wrong = append $wrong "There is no Valkey: set dependencies.valkey.url, or secrets.existingSecret to a Secret that has it as redis-url." -}}
{{- end -}}
{{- $others := list -}}
{{- range without $missing "mongodbUri" "redisUrl" -}}{{- $others = append $others (get $v.secrets.keys .) -}}{{- end -}}
{{- if $others -}}
{{- $wrong = append $wrong (printf "There are no secrets: set secrets.existingSecret to a Secret of this namespace with %s among its keys (or secrets.from to others, one by one)." (join ", " $others)) -}}
{{- end -}}
{{- if not (or $v.trust.sharedSecret $v.trust.mutualTls.enabled) -}}
{{- $wrong = append $wrong "Services would trust anyone: set trust.sharedSecret or trust.mutualTls.enabled (or both) to true." -}}
{{- end -}}
{{- if and $v.trust.mutualTls.issuerRef (not (has $v.trust.mutualTls.certificates (list "auto" "certManager"))) -}}
{{- $wrong = append $wrong (printf "trust.mutualTls.issuerRef is for cert-manager, but trust.mutualTls.certificates is %s: set that to certManager, or clear issuerRef." $v.trust.mutualTls.certificates) -}}
{{- end -}}
{{- if and (or $v.ingress.enabled $v.gatewayApi.enabled) (not $v.publicUrl) -}}
{{- $wrong = append $wrong "There is a way in (ingress or gatewayApi), but no publicUrl: set it to where buyers reach the shop, as https://tickets.example.com. 3-D Secure leads back to it." -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- $wrong = append $wrong "ingress.enabled needs ingress.host, as tickets.example.com." -}}
{{- end -}}
{{- if and $v.gatewayApi.enabled (not $v.gatewayApi.parentRefs) -}}
{{- $wrong = append $wrong "gatewayApi.enabled needs gatewayApi.parentRefs: the Gateway that the route belongs to, as [{name: public, namespace: gateways}]." -}}
{{- end -}}
{{- range $v.routes -}}
{{- $target := get $v.services .service -}}
{{- if not (and $target (include "onsale.enabled" $target) (eq $target.kind "http")) -}}
{{- $wrong = append $wrong (printf "routes sends %s to %s, which is no running service of kind http." .path .service) -}}
{{- end -}}
{{- end -}}
{{- range $sale := $v.onSales -}}
{{- range $name, $count := $sale.replicas -}}
{{- $service := get $v.services $name -}}
{{- if not (and $service (include "onsale.enabled" $service) (default dict $service.autoscaling).enabled) -}}
{{- $wrong = append $wrong (printf "onSales %s scales %s, which has no autoscaler: set services.%s.autoscaling.enabled, or take it out." $sale.name $name $name) -}}
{{- else if gt (int $count) (int $service.autoscaling.max) -}}
{{- $wrong = append $wrong (printf "onSales %s wants %d pods of %s, but services.%s.autoscaling.max is %d: raise that." $sale.name (int $count) $name $name (int $service.autoscaling.max)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.tests.buyATicket (not $v.demo.enabled) (not $v.secrets.existingSecret) (not (get $v.secrets.from "operatorEmail")) -}}
{{- $wrong = append $wrong "tests.buyATicket needs the operator's operator-email and operator-password in the Secret." -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values can't work:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
