// A caller in Go, with the stubs that protoc makes of protos/: it reads the question from standard input and prints what
// the server answered, both as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	whybox "whybox/v1"
)

type question struct {
	GRPC    string `json:"grpc"`
	Model   string `json:"model"`
	Picture string `json:"picture"`
	Slow    string `json:"slow"`
	Crowd   int    `json:"crowd"`
}

type failure struct {
	Code         string   `json:"code"`
	Reason       string   `json:"reason"`
	Fields       []string `json:"fields,omitempty"`
	RetrySeconds float64  `json:"retry_seconds,omitempty"`
}

type caller struct {
	question
	client whybox.AnalysisServiceClient
	image  []byte
}

func main() {
	log.SetFlags(0)
	var asked question
	must(json.NewDecoder(os.Stdin).Decode(&asked))
	image, err := os.ReadFile(asked.Picture)
	must(err)
	connection, err := grpc.Dial(asked.GRPC, grpc.WithInsecure())
	must(err)
	defer connection.Close()
	me := caller{asked, whybox.NewAnalysisServiceClient(connection), image}
	must(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"call":     me.call(),
		"stream":   me.stream(),
		"deadline": me.deadline(),
		"error":    me.mistake(),
		"busy":     me.crowded(),
	}))
}

func (me caller) call() interface{} {
	answer, err := me.client.Analyze(within(30*time.Second), me.predicting())
	must(err)
	first := answer.Prediction.Classes[0]
	return map[string]interface{}{"index": first.Index, "label": first.Label, "probability": first.Probability}
}

func (me caller) stream() []string {
	request := me.predicting()
	request.Explanations = []*whybox.ExplanationOptions{{Method: "grad_cam"}, {Method: "saliency"}}
	stream, err := me.client.StreamAnalysis(within(30*time.Second), request)
	must(err)
	parts := []string{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return parts
		}
		must(err)
		if answer.Prediction != nil {
			parts = append(parts, "prediction")
		}
		for _, explanation := range answer.Explanations {
			parts = append(parts, explanation.Method)
		}
	}
}

func (me caller) deadline() interface{} {
	request := me.slow()
	request.Prediction = &whybox.PredictionOptions{}
	answer, err := me.client.Analyze(within(time.Second), request)
	must(err)
	return map[string]interface{}{
		"prediction":  codes.Code(answer.Prediction.Status.GetCode()).String(),
		"explanation": codes.Code(answer.Explanations[0].Status.GetCode()).String(),
	}
}

func (me caller) mistake() failure {
	request := me.predicting()
	request.Explanations = []*whybox.ExplanationOptions{{Method: "tarot"}}
	_, err := me.client.Analyze(within(30*time.Second), request)
	return read(err)
}

// crowded asks for more than the server queues, and returns the first refusal that says when to come again.
func (me caller) crowded() failure {
	everybody, leave := context.WithTimeout(context.Background(), 3*time.Second)
	defer leave()
	answers := make(chan error, me.Crowd)
	for i := 0; i < me.Crowd; i++ {
		go func() {
			_, err := me.client.Analyze(everybody, me.slow())
			answers <- err
		}()
	}
	for i := 0; i < me.Crowd; i++ {
		if err := <-answers; err != nil {
			if refused := read(err); refused.RetrySeconds > 0 {
				return refused
			}
		}
	}
	return failure{}
}

func (me caller) predicting() *whybox.AnalyzeRequest {
	return &whybox.AnalyzeRequest{Model: me.Model, Image: me.image, Prediction: &whybox.PredictionOptions{}}
}

func (me caller) slow() *whybox.AnalyzeRequest {
	options := &whybox.ExplanationOptions{Method: me.Slow, Quality: []string{"all"}}
	return &whybox.AnalyzeRequest{Model: me.Model, Image: me.image, Explanations: []*whybox.ExplanationOptions{options}}
}

func read(err error) failure {
	told := status.Convert(err)
	found := failure{Code: told.Code().String()}
	for _, detail := range told.Details() {
		switch each := detail.(type) {
		case *errdetails.ErrorInfo:
			found.Reason = each.Reason
		case *errdetails.BadRequest:
			for _, violation := range each.FieldViolations {
				found.Fields = append(found.Fields, violation.Field)
			}
		case *errdetails.RetryInfo:
			found.RetrySeconds = float64(each.RetryDelay.Seconds) + float64(each.RetryDelay.Nanos)/1e9
		}
	}
	return found
}

// within is a context that nobody cancels before its time: the program ends soon after it.
func within(limit time.Duration) context.Context {
	ctx, _ := context.WithTimeout(context.Background(), limit) //nolint:govet
	return ctx
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
