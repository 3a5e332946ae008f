{{- define "canaryrollout.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "canaryrollout.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "canaryrollout.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "canaryrollout.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "canaryrollout.selectorLabels" -}}
app.kubernetes.io/name: {{ include "canaryrollout.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "canaryrollout.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "canaryrollout.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: canaryrollout
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* With labels of one object's own, which win; a list of the root and them. A key that comes twice is refused by Flux and kustomize. */}}
{{- define "canaryrollout.labelsWith" -}}
{{- mergeOverwrite (include "canaryrollout.labels" (index . 0) | fromYaml) (index . 1 | default dict) | toYaml }}
{{- end }}

{{- define "canaryrollout.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "canaryrollout.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "canaryrollout.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "canaryrollout.leaseName" -}}
{{ include "canaryrollout.fullname" . }}-operator
{{- end }}

{{/* Of a duration such as 1m30s. */}}
{{- define "canaryrollout.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 }}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+" . }}
{{- $sum = add $sum (mul (trimSuffix $unit . | atoi) (get $units $unit)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* The operator would refuse them at its start; a schema cannot compare two values. */}}
{{- define "canaryrollout.checkedLeaseTimes" -}}
{{- $times := .Values.leaderElection }}
{{- range list (list "renewDeadline" "leaseDuration") (list "retryPeriod" "renewDeadline") }}
{{- $time := get $times (first .) }}
{{- $limit := get $times (last .) }}
{{- if ge (include "canaryrollout.milliseconds" $time | atoi) (include "canaryrollout.milliseconds" $limit | atoi) }}
{{- fail (printf "leaderElection.%s (%s) must be shorter than leaderElection.%s (%s)" (first .) $time (last .) $limit) }}
{{- end }}
{{- end }}
{{- end }}

{{/* For objects outside the release's namespace: releases of one name in two namespaces must not share them. */}}
{{- define "canaryrollout.sharedName" -}}
{{- $fullname := include "canaryrollout.fullname" . }}
{{- if eq $fullname .Release.Namespace }}
{{- $fullname }}
{{- else }}
{{- printf "%s-%s" $fullname .Release.Namespace | trunc 100 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Subject of every binding. */}}
{{- define "canaryrollout.subjects" -}}
- kind: ServiceAccount
  name: {{ include "canaryrollout.serviceAccountName" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* What the operator needs in a namespace whose CanaryRollouts it serves. */}}
{{- define "canaryrollout.rules" -}}
- apiGroups: [canaryrollout.io]
  resources: [canaryrollouts]
  verbs: [get, list, watch, patch]
- apiGroups: [canaryrollout.io]
  resources: [canaryrollouts/status]
  verbs: [get, patch, update]
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [get, list, watch, create, patch]
{{ include "canaryrollout.surroundings" . }}
- apiGroups: [""]
  resources: [services, pods]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- include "canaryrollout.verifyRule" . }}
{{- end }}

{{/*
Reading Envoys' admin interface. The API server knows a port-forward over a WebSocket as get, from Kubernetes 1.35 on as create too.
*/}}
{{- define "canaryrollout.verifyRule" -}}
{{- if .Values.istio.verifyEnvoys }}
- apiGroups: [""]
  resources: [pods/portforward]
  verbs: [get, create]
{{- end }}
{{- end }}

{{/* What lies around the rollouts' own objects: preflight looks at it, nothing of it is ever written. */}}
{{- define "canaryrollout.surroundings" -}}
- apiGroups: [networking.istio.io]
  resources: [gateways, serviceentries, sidecars, envoyfilters]
  verbs: [get, list]
- apiGroups: [security.istio.io]
  resources: [peerauthentications]
  verbs: [get, list]
{{- end }}

{{/* The same where no CanaryRollout is served. */}}
{{- define "canaryrollout.elsewhere" -}}
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [get, list]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list]
{{ include "canaryrollout.surroundings" . }}
{{- end }}
