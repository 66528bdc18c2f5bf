// Made by `make client-types` from the server's OpenAPI document.

export interface paths {
    "/v1/tasks/{task}/predict": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Recognise images
         * @description Among several images, one that cannot be read takes its place with an `error` and spoils nothing for its neighbours; a
         *     single one is answered with 413 or 422.
         *
         *     `known` is false for what is probably none of the task's classes: about one in twenty of their own images is refused too.
         */
        post: operations["recognise_v1_tasks__task__predict_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/predict": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Recognise images by many tasks at once
         * @description Each image is embedded once, however many tasks there are. A task that cannot be asked now, and an image that cannot be
         *     read, takes its place with an `error`, unless it is the only one.
         */
        post: operations["recognise_by_many_v1_predict_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List tasks, newest first */
        get: operations["list_tasks_v1_tasks_get"];
        put?: never;
        /**
         * Create a task from labelled images
         * @description At least two classes with one image each; 5 to 20 images per class recognise best.
         *
         *     Multipart: files `images` and texts `labels`, equally many, in the same order. Or one file `archive`, a zip with a folder
         *     per class. With either, files `negatives`: images of none of the classes, by which strangers are told. Or JSON with base64
         *     images, where the label of such an image is null.
         *
         *     With `label_mode` `multiple`, an image may have any number of labels, and one label is enough for a task. In JSON each example
         *     then has `labels`; each text `labels` of a form is a JSON list; an image that lies in several folders of an archive, the same
         *     bytes, has all their labels.
         *
         *     `classes` names classes, in a form as a JSON list. Where the backbone reads text, they need no image: the names answer until
         *     each class has one, and help afterwards as far as leave-one-out finds that they do.
         */
        post: operations["create_v1_tasks_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show a task */
        get: operations["show_v1_tasks__task__get"];
        put?: never;
        post?: never;
        /**
         * Remove a task with all its images and versions
         * @description When the answer comes, no file of the server holds a byte of its images.
         */
        delete: operations["delete_v1_tasks__task__delete"];
        options?: never;
        head?: never;
        /**
         * Rename a task, roll it back to another version, or set what it captures
         * @description Rolling back takes effect with the answer. No version is lost: any can be made active again.
         */
        patch: operations["change_v1_tasks__task__patch"];
        trace?: never;
    };
    "/v1/tasks/{task}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The history of a task, newest first */
        get: operations["versions_v1_tasks__task__versions_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/examples": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The support set of the active version, oldest first */
        get: operations["examples_v1_tasks__task__examples_get"];
        put?: never;
        /**
         * Add labelled images: a new version, active in the answer
         * @description The same bodies as creation, without name and options. A label that is new to the task is a new class.
         */
        post: operations["add_v1_tasks__task__examples_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/examples/{example}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Remove an example: a new version, active in the answer
         * @description Versions before this one keep the example, so that they can be returned to, unless it is forgotten: then they go, a
         *     version without it is active, and when the answer comes, no file of the server holds a byte of its image. An example that
         *     earlier versions alone have is forgotten with those.
         */
        delete: operations["remove_v1_tasks__task__examples__example__delete"];
        options?: never;
        head?: never;
        /**
         * Give an example another label, or none: a new version, active in the answer
         * @description In the new version the image has an id of its own, which begins with the one that it had. Versions before this one keep the
         *     example under its old label. Forgetting either id forgets the image.
         */
        patch: operations["relabel_v1_tasks__task__examples__example__patch"];
        trace?: never;
    };
    "/v1/tasks/{task}/examples/{example}/image": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** An example's image, as it was sent */
        get: operations["example_image_v1_tasks__task__examples__example__image_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/archive": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The active version as a zip with a folder per class
         * @description `POST /v1/tasks` takes it again as `archive`. Hidden in it are `.negatives/`, and in `.headstart/` the head and the task's
         *     description. If the task is removed meanwhile, the connection is closed before the end.
         */
        get: operations["archive_v1_tasks__task__archive_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/classifier": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The active version as a safetensors file, to score images elsewhere
         * @description `headstart score` reads it. It holds the head, and features of the examples that tell strangers, but no image.
         */
        get: operations["classifier_v1_tasks__task__classifier_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/captures": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The review queue: captured predictions that wait for a decision
         * @description The active version judges all captures anew at each call. Begin again without `after` once something was decided.
         */
        get: operations["captures_v1_tasks__task__captures_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/captures/{capture}/image": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A captured image, as it was sent */
        get: operations["capture_image_v1_tasks__task__captures__capture__image_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/captures/resolve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Decide about captures: one new version, active in the answer
         * @description All decisions are carried out, or none. Captures with a label become examples, and those with null negatives. Discarded
         *     ones are in no file any more when the answer comes. Where all are discarded, no version is made.
         */
        post: operations["resolve_captures_v1_tasks__task__captures_resolve_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/corrections": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Put a remembered prediction right: a new version, active in the answer
         * @description The image becomes an example of that class, or with null a negative. The prediction leaves the review queue.
         */
        post: operations["correct_v1_tasks__task__corrections_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/quality": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How good a task is, and which examples to look at
         * @description Each example of the active version is judged by a head fitted without it. Above 500 examples that are 20 folds instead,
         *     which may take seconds, unless an image may have several labels. A class with a single example cannot be judged so.
         */
        get: operations["quality_v1_tasks__task__quality_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/compare": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Try other solvers, options and backbones on a task's own examples
         * @description Each is judged as `quality` judges the active version, on the same examples. Nothing is stored or published, save that
         *     a bundle which a candidate names is opened. Below the scope `manage` it must be open, or the bundle of new tasks or of a
         *     task of the tenant, since opening one may close another that others use. A candidate that cannot be tried takes its place
         *     with an `error`, unless it is the only one. Other backbones embed the stored images behind everyone else's, which may take
         *     minutes for a large task.
         */
        post: operations["compare_candidates_v1_tasks__task__compare_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/backbones": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List backbones
         * @description The folders of bundles are looked at again. One whose manifest cannot be read is not in the list, unless it is needed, and
         *     `missing`: open it to hear why.
         */
        get: operations["list_backbones_v1_backbones_get"];
        put?: never;
        /**
         * Open a bundle
         * @description The folders of bundles are looked at again, so that one which was put there, or mended, since the start can be opened.
         *
         *     Nobody sees it before it is warm, and nothing has changed when it fails. New tasks get it once it is made the default.
         */
        post: operations["open_backbone_v1_backbones_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/backbones/{backbone}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show a backbone */
        get: operations["show_v1_backbones__backbone__get"];
        put?: never;
        post?: never;
        /**
         * Close a backbone that no task uses
         * @description Requests under way on it are answered first. A task that is rolled back to a version on it opens it again.
         */
        delete: operations["close_v1_backbones__backbone__delete"];
        options?: never;
        head?: never;
        /**
         * Make an open backbone the one that new tasks get
         * @description Holds after a restart too, unless the server is started with `--bundle`. Tasks that exist stay on their backbones.
         */
        patch: operations["change_v1_backbones__backbone__patch"];
        trace?: never;
    };
    "/v1/refreshes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List refreshes, newest first */
        get: operations["list_refreshes_v1_refreshes_get"];
        put?: never;
        /**
         * Move tasks onto another bundle
         * @description Moves tasks onto another bundle while they serve. Each task's images are embedded again in the background. Its new head is
         *     judged beside the one that serves, and becomes active unless the accuracy falls by more than `max_drop`. If no example can be
         *     left out, the task stays, unless the two bundles' evaluations on several datasets favour the move.
         *
         *     `all` means every task that exists now. The server works on one refresh at a time, the oldest first.
         */
        post: operations["begin_v1_refreshes_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/refreshes/{refresh}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How far a refresh is */
        get: operations["show_v1_refreshes__refresh__get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/refreshes/{refresh}/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What became of each task of a refresh, the oldest task first */
        get: operations["list_tasks_v1_refreshes__refresh__tasks_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/refreshes/{refresh}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Pause a refresh
         * @description It stays paused over a restart, until it is resumed or cancelled.
         */
        post: operations["pause_v1_refreshes__refresh__pause_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/refreshes/{refresh}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Resume a paused refresh */
        post: operations["resume_v1_refreshes__refresh__resume_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/refreshes/{refresh}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel a refresh
         * @description Tasks that were moved stay moved, and may be rolled back.
         */
        post: operations["cancel_v1_refreshes__refresh__cancel_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/refreshes/{refresh}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Return every task that a refresh moved
         * @description Returns each task to what it was before. A task whose examples have changed since keeps them, with a head fitted on the
         *     bundle that it came from. The refresh must have ended. A second call tries the tasks that could not be returned.
         */
        post: operations["roll_back_v1_refreshes__refresh__rollback_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What happened to tasks, in the order in which it happened
         * @description Answers at once, also when nothing has happened since: ask again after a while.
         */
        get: operations["events_v1_events_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How much a request may bring, and the caller's quotas
         * @description No request may bring more images than the caller's quota of a minute.
         */
        get: operations["limits_v1_limits_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/key": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The key of this request
         * @description For clients to check a key before they use it.
         */
        get: operations["own_v1_key_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the keys of the tenant, the oldest first */
        get: operations["list_keys_v1_keys_get"];
        put?: never;
        /**
         * Make a key
         * @description It is of the tenant of the key that asks. From the first key on, the server answers nobody without one.
         */
        post: operations["create_v1_keys_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/keys/{key}/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make a key in the place of another
         * @description It allows the same, and lasts as long from now on. The old one stays valid for a day, or as long as the body says.
         *
         *     A key is rotated once: while the key in its place is valid, that one is to be rotated.
         */
        post: operations["rotate_v1_keys__key__rotate_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/keys/{key}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Revoke a key
         * @description No request that begins after the answer is answered to it. A second call changes nothing.
         */
        delete: operations["revoke_v1_keys__key__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Alive */
        get: operations["alive_healthz_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Warm and able to serve
         * @description Sends images of known embedding through the queue that serves. Reads from the store, and writes to it unless that has
         *     just been done. Looks for the bundles that tasks need, and reads from the object store of the images. If some tasks lack
         *     their bundle, the object store fails, or the disk is full, the server is `degraded`; the answer is still 200, since
         *     everything else is served. A server that is about to stop is `stopping`.
         */
        get: operations["ready_readyz_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Metrics for Prometheus */
        get: operations["metrics_metrics_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task}/hf": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Recognise an image, as Hugging Face's image-classification
         * @description `huggingface_hub.InferenceClient(model=URL).image_classification(image)` works with this address as its `model`.
         *
         *     The probabilities are those of `…/predict`. A body that is not JSON is the image, whatever its type says.
         */
        post: operations["classify_v1_tasks__task__hf_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/customvision/v3.0/Prediction/{task}/classify/iterations/{iteration}/image": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Recognise an image, as Custom Vision
         * @description The task is named by its id, or by the UUID that answers have. The iteration is the number of the active version, or any
         *     name. The probabilities are those of `…/predict`, and the image is captured as the task's `capture` says.
         */
        post: operations["classify_customvision_v3_0_Prediction__task__classify_iterations__iteration__image_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/customvision/v3.0/Prediction/{task}/classify/iterations/{iteration}/image/nostore": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Recognise an image, as Custom Vision, and capture nothing
         * @description The same, but the image is never captured.
         */
        post: operations["classify_without_capture_customvision_v3_0_Prediction__task__classify_iterations__iteration__image_nostore_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * AnsweredReply
         * @description The answer that a captured prediction had.
         */
        AnsweredReply: {
            /**
             * Version
             * @description the one that answered
             */
            version: number;
            /** Label */
            label: string;
            /**
             * Labels
             * @description its labels, where an image may have several; else null
             */
            labels?: string[] | null;
            /** Probability */
            probability: number;
            /**
             * Known
             * @description null where the request had `unknown=ignore`
             */
            known: boolean | null;
            /**
             * Novelty
             * @description null where the request had `unknown=ignore`
             */
            novelty: number | null;
        };
        /** BackboneList */
        BackboneList: {
            /**
             * Default
             * @description name@version of the one that new tasks get
             */
            default: string;
            /** Backbones */
            backbones: components["schemas"]["BackboneReply"][];
        };
        /** BackboneReply */
        BackboneReply: {
            /** Id */
            id: string;
            /**
             * Default
             * @description new tasks get this one
             */
            default: boolean;
            /**
             * Missing
             * @description it is needed and not in the server's folders, so that the fields from there are null
             */
            missing: boolean;
            /**
             * Open
             * @description loaded and warm; a task opens its bundle when it is asked for
             */
            open: boolean;
            /**
             * Engines
             * @description what runs it while it is open; several, where tasks use several of its files
             */
            engines: ("auto" | "onnx" | "onnx-int8" | "onnx-fp16" | "onnx-cuda" | "onnx-fp16-cuda" | "onnx-tensorrt" | "onnx-fp16-tensorrt" | "torchscript" | "torchscript-cuda")[];
            /**
             * Active Tasks
             * @description tasks whose active version uses it
             */
            active_tasks: number;
            /**
             * Unserved Tasks
             * @description those of them that are refused, since the file they use is missing or damaged
             */
            unserved_tasks: number;
            /** Embedding Dim */
            embedding_dim: number | null;
            input: components["schemas"]["InputSpec"] | null;
            /** Architecture */
            architecture: string | null;
            /** Dataset */
            dataset: string | null;
            /** Evaluations */
            evaluations: components["schemas"]["Evaluation"][];
        };
        /**
         * CandidateReply
         * @description One way to fit the task's head, judged on the examples of the active version.
         */
        CandidateReply: {
            /**
             * Current
             * @description this is the active version as it is
             */
            current: boolean;
            /** Backbone */
            backbone: string;
            head: components["schemas"]["HeadReply"];
            /**
             * Method
             * @description `leave-one-out`, which is exact, or above 500 examples `20 folds`
             */
            method: string;
            /**
             * Judged
             * @description examples that could be judged: all but those of classes with one group
             */
            judged: number;
            /** Recognised */
            recognised: number;
            /**
             * Accuracy
             * @description share of those that were recognised, each group counting as one; null if there are none
             */
            accuracy: number | null;
            /**
             * Interval
             * @description 95 % interval of the accuracy on further images of these kinds; null without an accuracy
             */
            interval: [
                number,
                number
            ] | null;
            /**
             * Log Loss
             * @description mean of -log p, p the probability of an example's own label: 0 for being sure and right, 0.69 for even odds
             */
            log_loss: number | null;
            /** @description to the active version; null of that itself, and if nothing was judged */
            difference: components["schemas"]["Difference"] | null;
            /**
             * Milliseconds
             * @description what judging it took, without embedding
             */
            milliseconds: number;
        };
        /**
         * CapturePage
         * @description Captures that wait for a decision. Look-alikes are one entry, led by the first of them in the order asked for.
         */
        CapturePage: {
            /** Task */
            task: string;
            /**
             * Version
             * @description the active version, which suggests
             */
            version: number;
            /** Captures */
            captures: components["schemas"]["CaptureReply"][];
            /**
             * Total
             * @description captures of the task
             */
            total: number;
            /**
             * Duplicates
             * @description of those, left out as nearly the same image as an example
             */
            duplicates: number;
            /**
             * Other Backbone
             * @description of those, left out since another backbone embedded them
             */
            other_backbone: number;
            /**
             * Next Cursor
             * @description pass as `after` for the next page; null on the last
             */
            next_cursor: string | null;
        };
        /**
         * CaptureReply
         * @description A captured prediction, with what the active version would answer now.
         */
        CaptureReply: {
            /** Id */
            id: string;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Image
             * @description its address on this server; null if the server was told to keep no images
             */
            image: string | null;
            /**
             * Label
             * @description suggested by the active version; the most probable where an image may have several
             */
            label: string;
            /**
             * Labels
             * @description its labels, where an image may have several; else null
             */
            labels?: string[] | null;
            /** Probability */
            probability: number;
            /** Known */
            known: boolean;
            /** Novelty */
            novelty: number;
            /**
             * Nearest
             * @description the three examples it most resembles, the most similar first
             */
            nearest: components["schemas"]["Neighbour"][];
            /** @description what was answered then */
            answered: components["schemas"]["AnsweredReply"];
            /**
             * Alike
             * @description ids of the captures that look like it; one decision may serve all of them
             */
            alike: string[];
        };
        /**
         * CaptureSettingReply
         * @description The predictions of a task that are captured for review.
         */
        CaptureSettingReply: {
            /**
             * Keep
             * @enum {string}
             */
            keep: "none" | "uncertain" | "all";
            /**
             * Limit
             * @description most captures of the task; the oldest leaves first
             */
            limit: number;
            /**
             * Days
             * @description age at which a capture leaves
             */
            days: number;
            /**
             * Notify
             * @description number of captures at which an event tells that they wait; null for never
             */
            notify: number | null;
        };
        /**
         * ChangedTaskReply
         * @description A task after a change of its support set, with the milliseconds each stage took.
         */
        ChangedTaskReply: {
            /** Id */
            id: string;
            /** Name */
            name: string;
            /**
             * Version
             * @description the active version
             */
            version: number;
            /**
             * Backbone
             * @description name@version of the bundle that embeds this task's images
             */
            backbone: string;
            /** Classes */
            classes: components["schemas"]["ClassReply"][];
            /**
             * Negatives
             * @description images of none of the classes, by which strangers are told
             */
            negatives: number;
            /**
             * Labels
             * @description of an image: `single` for one, `multiple` for any number
             * @enum {string}
             */
            labels: "single" | "multiple";
            head: components["schemas"]["HeadReply"];
            /**
             * Name Weight
             * @description of the class names beside the images, chosen by leave-one-out: 0, ⅛, ¼, ½ or 1; 0 unless the gain is more than chance explains. 1 while a class has no image, and the names alone answer. null where the backbone cannot read, above 2,000 examples or 256 classes, and where an image may have several labels
             */
            name_weight: number | null;
            capture: components["schemas"]["CaptureSettingReply"];
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Updated At
             * Format: date-time
             */
            updated_at: string;
            /** @description null above 100 examples: ask for it with `GET …/quality` */
            quality: components["schemas"]["Quality"] | null;
            /**
             * Timing Ms
             * @description decode, embed, fit, store, total
             */
            timing_ms: {
                [key: string]: number;
            };
        };
        /** ClassQuality */
        ClassQuality: {
            /** Label */
            label: string;
            /** Examples */
            examples: number;
            /**
             * Groups
             * @description how many they are, if near-duplicates and shots of one thing count as one
             */
            groups: number;
            /**
             * Judged
             * @description how many of them a head fitted without their groups could judge
             */
            judged: number;
            /**
             * Recognised
             * @description how many of those it recognised
             */
            recognised: number;
            /**
             * Accuracy
             * @description that share, each group counting as one; null if none was judged
             */
            accuracy: number | null;
            /**
             * Interval
             * @description 95 % interval of the accuracy on further images of these kinds; null without an accuracy
             */
            interval: [
                number,
                number
            ] | null;
            /**
             * False Positive Rate
             * @description where an image may have several labels: the share of the other examples that got this one
             */
            false_positive_rate?: number | null;
        };
        /** ClassReply */
        ClassReply: {
            /** Label */
            label: string;
            /**
             * Examples
             * @description support images of this class; 0 of one that has a name alone
             */
            examples: number;
        };
        /**
         * ComparisonReply
         * @description The active version, then the candidates in the order asked. Nothing was stored.
         */
        ComparisonReply: {
            /** Task */
            task: string;
            /**
             * Version
             * @description the active version, to which all are compared
             */
            version: number;
            /** Candidates */
            candidates: (components["schemas"]["CandidateReply"] | components["schemas"]["FailedCandidate"])[];
            /**
             * Best
             * @description which of `candidates`, from 0, recognised most examples and, of as many, was surest of their labels; 0, the active version, where none is better
             */
            best: number;
            /**
             * Advice
             * @description which is better, and whether chance would explain it
             */
            advice: string;
            /**
             * Timing Ms
             * @description embed, fit, total
             */
            timing_ms: {
                [key: string]: number;
            };
        };
        /**
         * Confusion
         * @description Examples of one class that were taken for another.
         */
        Confusion: {
            /** Label */
            label: string;
            /** Recognised As */
            recognised_as: string;
            /** Examples */
            examples: number;
        };
        /**
         * Coverage
         * @description The promise of the prediction sets of an answer.
         */
        Coverage: {
            /**
             * Asked
             * @description the share of images, as varied as the examples, whose set is to hold the right label
             */
            asked: number;
            /**
             * Finest
             * @description the highest coverage that the examples can support by themselves; null where they support none
             */
            finest: number | null;
        };
        /**
         * Difference
         * @description A candidate beside the active version, on the same examples.
         */
        Difference: {
            /**
             * Accuracy
             * @description the candidate's less the active version's
             */
            accuracy: number;
            /**
             * Interval
             * @description 95 % interval of that, for paired examples
             */
            interval: [
                number,
                number
            ];
            /**
             * Gained
             * @description examples that the candidate recognises and the active version does not
             */
            gained: number;
            /**
             * Lost
             * @description examples that the active version recognises and the candidate does not
             */
            lost: number;
            /**
             * Log Loss
             * @description the candidate's less the active version's: less than 0 is better
             */
            log_loss: number;
            /**
             * Log Loss Interval
             * @description 95 % interval of that; null of fewer than five examples
             */
            log_loss_interval: [
                number,
                number
            ] | null;
        };
        /** DoneOf */
        DoneOf: {
            /** Done */
            done: number;
            /** Total */
            total: number;
        };
        /**
         * DuplicateReply
         * @description An example that is all but an earlier one; under another label one of the two is wrong.
         */
        DuplicateReply: {
            /** Example */
            example: string;
            /**
             * Label
             * @description null where an image may have several
             */
            label: string | null;
            /**
             * Labels
             * @description its labels, where an image may have several; else null
             */
            labels?: string[] | null;
            /**
             * Of
             * @description the earlier example
             */
            of: string;
            /** Of Label */
            of_label: string | null;
            /**
             * Of Labels
             * @description its labels, where an image may have several; else null
             */
            of_labels?: string[] | null;
            /**
             * Similarity
             * @description cosine of their embeddings; 1 for the same pixels
             */
            similarity: number;
            /**
             * File Name
             * @description what the image's file was called; null where its sender did not say, or no images are kept
             */
            file_name: string | null;
            /**
             * Of File Name
             * @description what the image's file was called; null where its sender did not say, or no images are kept
             */
            of_file_name: string | null;
        };
        /**
         * Evaluation
         * @description Mean accuracy over episodes, as shares of one; `ci95` is the half-width 1.96 * s / sqrt(episodes).
         */
        Evaluation: {
            /** Dataset */
            dataset: string;
            /**
             * Part
             * @enum {string}
             */
            part: "validation" | "test";
            /** File */
            file: string;
            /**
             * Solver
             * @enum {string}
             */
            solver: "logistic" | "ridge" | "prototype";
            /** Ways */
            ways: number;
            /** Shots */
            shots: number;
            /** Queries */
            queries: number;
            /** Episodes */
            episodes: number;
            /** Seed */
            seed: number;
            /** Accuracy */
            accuracy: number;
            /** Ci95 */
            ci95: number;
            /** Ece */
            ece: number;
        };
        /**
         * EventPage
         * @description Events in the order in which they happened.
         */
        EventPage: {
            /** Events */
            events: components["schemas"]["EventReply"][];
            /**
             * Next
             * @description to be given as `after` the next time, also where there are no events
             */
            next: string;
            /**
             * Missed
             * @description events after the one named have left, or it is unknown: these are the oldest there are
             */
            missed: boolean;
        };
        /**
         * EventReply
         * @description Something that happened to a task. It holds ids and numbers only.
         */
        EventReply: {
            /** Id */
            id: string;
            /**
             * Type
             * @enum {string}
             */
            type: "version_created" | "version_activated" | "quality_fell" | "captures_waiting" | "task_deleted";
            /** Task */
            task: string;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Version
             * @description that is active after it; null of captures and deletions
             */
            version: number | null;
            /**
             * Version Before
             * @description that was active before it; null where there was none
             */
            version_before: number | null;
            /**
             * Change
             * @description of `version_created`: the kind of change that made the version
             */
            change: ("created" | "added" | "removed" | "relabelled" | "refreshed") | null;
            /**
             * Accuracy
             * @description of `version`; null where it is not known
             */
            accuracy: number | null;
            /**
             * Accuracy Before
             * @description of `quality_fell`: that of `version_before`
             */
            accuracy_before: number | null;
            /**
             * Captures
             * @description of `captures_waiting`: how many the task has
             */
            captures: number | null;
        };
        /**
         * ExamplePage
         * @description The support set of the active version, oldest first.
         */
        ExamplePage: {
            /** Examples */
            examples: components["schemas"]["ExampleReply"][];
            /**
             * Next Cursor
             * @description pass as `cursor` for the next page; null on the last
             */
            next_cursor: string | null;
        };
        /** ExampleReply */
        ExampleReply: {
            /** Id */
            id: string;
            /**
             * Label
             * @description null if it is of none of the classes, or where an image may have several labels
             */
            label: string | null;
            /**
             * Labels
             * @description its labels, where an image may have several; else null
             */
            labels: string[] | null;
            /** Media Type */
            media_type: string;
            /** Bytes */
            bytes: number;
            /**
             * Image Kept
             * @description whether the image can be had back; false if the server was told to keep none
             */
            image_kept: boolean;
            /**
             * Sha256
             * @description of the image's bytes as they were sent; null if the image was not kept
             */
            sha256: string | null;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * File Name
             * @description what the image's file was called; null where its sender did not say, or no images are kept
             */
            file_name: string | null;
        };
        /**
         * FailedCandidate
         * @description A candidate that cannot be tried; the others are unaffected.
         */
        FailedCandidate: {
            /** Backbone */
            backbone: string;
            error: components["schemas"]["ProblemInPlace"];
        };
        /**
         * FailedPrediction
         * @description An image that could not be read; its neighbours are unaffected.
         */
        FailedPrediction: {
            error: components["schemas"]["ProblemInPlace"];
        };
        /**
         * FailedTask
         * @description A task that cannot be asked now; the others are unaffected.
         */
        FailedTask: {
            /** Task */
            task: string;
            /** Version */
            version: number;
            /** Backbone */
            backbone: string;
            error: components["schemas"]["ProblemInPlace"];
        };
        /**
         * ForecastReply
         * @description The accuracy to expect with more examples of each class, on further images of these kinds.
         */
        ForecastReply: {
            /**
             * Factor
             * @description how many times the examples of each class
             */
            factor: number;
            /**
             * Accuracy
             * @description as likely too low as too high
             */
            accuracy: number;
            /**
             * Interval
             * @description 80 % interval of the accuracy
             */
            interval: [
                number,
                number
            ];
        };
        /** HeadReply */
        HeadReply: {
            /**
             * Solver
             * @enum {string}
             */
            solver: "logistic" | "ridge" | "prototype";
            /** C */
            C: number;
            /** Temperature */
            temperature: number;
            /** Centre */
            centre: boolean;
        };
        /** Health */
        Health: {
            /**
             * Status
             * @description `ok`; of `/readyz` `ready`, `degraded` where some tasks lack their bundle, `unavailable`, `stopping`
             */
            status: string;
            /** Checks */
            checks?: {
                [key: string]: string;
            };
        };
        /**
         * ImagePrediction
         * @description A prediction as Custom Vision answers it.
         */
        ImagePrediction: {
            /**
             * Id
             * Format: uuid
             * @description of this answer alone
             */
            id: string;
            /**
             * Project
             * Format: uuid
             * @description the task's id, in the form of a UUID
             */
            project: string;
            /**
             * Iteration
             * Format: uuid
             * @description stands for the version that answered
             */
            iteration: string;
            /**
             * Created
             * Format: date-time
             */
            created: string;
            /**
             * Predictions
             * @description the most probable first
             */
            predictions: components["schemas"]["TagPrediction"][];
        };
        /**
         * InputSpec
         * @description The input of the backbone, and how any image is fitted to it.
         *
         *     `cover` scales the shorter side and crops the centre; `stretch` scales each side by itself, and crops nothing. Both are
         *     antialiased. `shortest_edge` is the length that `cover` scales the shorter side to; None is as short as the crop allows, and
         *     leaves an image of the right size untouched.
         */
        InputSpec: {
            /** Height */
            height: number;
            /** Width */
            width: number;
            /**
             * Resize
             * @default cover
             * @enum {string}
             */
            resize?: "cover" | "stretch";
            /**
             * Interpolation
             * @default bicubic
             * @enum {string}
             */
            interpolation?: "bilinear" | "bicubic";
            /**
             * Colour
             * @default rgb
             * @constant
             */
            colour?: "rgb";
            /** Shortest Edge */
            shortest_edge?: number | null;
        };
        /**
         * JudgedPrediction
         * @description A prediction with a verdict on whether the image is of any of the task's classes at all.
         */
        JudgedPrediction: {
            /** Label */
            label: string;
            /** Probability */
            probability: number;
            /**
             * Scores
             * @description probability by label, the most probable first; `top_k` of them. Where an image may have several labels, each is independent of the others
             */
            scores: {
                [key: string]: number;
            };
            /**
             * Labels
             * @description there if an image may have several labels: those with a probability of at least ½, the most probable first
             */
            labels?: string[] | null;
            /**
             * Set
             * @description there if `coverage` was asked for: the labels that hold the right one so often, the most probable first
             */
            set?: string[] | null;
            /**
             * Known
             * @description false for a stranger, `none of these`: then `label` is only the likest of the classes. Where an image may have several labels: whether it has any
             */
            known: boolean;
            /**
             * Novelty
             * @description 0 for what looks like the task's classes, 1 for a stranger; the verdict turns at ½. Where an image may have several labels: one less the highest probability
             */
            novelty: number;
            /**
             * Nearest
             * @description the three examples it most resembles, the most similar first
             */
            nearest: components["schemas"]["Neighbour"][];
        };
        /** KeyList */
        KeyList: {
            /** Keys */
            keys: components["schemas"]["KeyReply"][];
        };
        /**
         * KeyReply
         * @description A key, without its secret.
         */
        KeyReply: {
            /** Id */
            id: string;
            /** Tenant */
            tenant: string;
            /**
             * Scope
             * @enum {string}
             */
            scope: "predict" | "write" | "manage";
            /**
             * Task
             * @description the only task that it is for; null for all of the tenant
             */
            task: string | null;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Expires At
             * @description null for never
             */
            expires_at: string | null;
            /**
             * Revoked At
             * @description null unless it was revoked
             */
            revoked_at: string | null;
            /**
             * Last Used At
             * @description up to a minute late; null if it was never used
             */
            last_used_at: string | null;
        };
        /**
         * LabelScore
         * @description A label and its probability, as Hugging Face's `image-classification` answers them.
         */
        LabelScore: {
            /** Label */
            label: string;
            /** Score */
            score: number;
        };
        /**
         * Limits
         * @description The most that a request of the caller, or a task, may hold on this server; more is refused.
         */
        Limits: {
            /** Body Bytes */
            body_bytes: number;
            /** Image Bytes */
            image_bytes: number;
            /** Image Pixels */
            image_pixels: number;
            /**
             * Images
             * @description of one prediction
             */
            images: number;
            /**
             * New Examples
             * @description of one request
             */
            new_examples: number;
            /**
             * Classes
             * @description of one task
             */
            classes: number;
            /**
             * Examples
             * @description of one task
             */
            examples: number;
            /**
             * Quotas
             * @description those that whoever runs the server has set
             */
            quotas: components["schemas"]["QuotaReply"][];
        };
        /**
         * MeanAccuracy
         * @description Means over tasks, each judged before and after by the same examples, left out of its support set.
         */
        MeanAccuracy: {
            /** Tasks */
            tasks: number;
            /** Before */
            before: number;
            /** After */
            after: number;
        };
        /**
         * Neighbour
         * @description An example of the task that an image resembles.
         */
        Neighbour: {
            /** Example */
            example: string;
            /**
             * Label
             * @description null where an image may have several labels
             */
            label: string | null;
            /**
             * Labels
             * @description there if an image may have several labels: all of them
             */
            labels?: string[] | null;
            /**
             * Similarity
             * @description cosine of their features, to three decimals: 1 for the same pixels
             */
            similarity: number;
            /**
             * Image
             * @description its address on this server; null if the server was told to keep no images
             */
            image: string | null;
            /**
             * File Name
             * @description what the image's file was called; null where its sender did not say, or no images are kept
             */
            file_name: string | null;
        };
        /**
         * NewKeyReply
         * @description A new key. Only this answer has it.
         */
        NewKeyReply: {
            /** Id */
            id: string;
            /** Tenant */
            tenant: string;
            /**
             * Scope
             * @enum {string}
             */
            scope: "predict" | "write" | "manage";
            /**
             * Task
             * @description the only task that it is for; null for all of the tenant
             */
            task: string | null;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Expires At
             * @description null for never
             */
            expires_at: string | null;
            /**
             * Revoked At
             * @description null unless it was revoked
             */
            revoked_at: string | null;
            /**
             * Last Used At
             * @description up to a minute late; null if it was never used
             */
            last_used_at: string | null;
            /**
             * Token
             * @description the key itself, for `Authorization: Bearer …`
             */
            token: string;
        };
        /**
         * OwnKeyReply
         * @description The key of a request, or what is allowed without one.
         */
        OwnKeyReply: {
            /**
             * Required
             * @description false on a server without keys
             */
            required: boolean;
            /**
             * Id
             * @description `oidc:` and the subject for a token; null on a server without keys
             */
            id: string | null;
            /** Tenant */
            tenant: string;
            /**
             * Scope
             * @enum {string}
             */
            scope: "predict" | "write" | "manage";
            /**
             * Task
             * @description the only task that it is for; null for all of the tenant
             */
            task: string | null;
            /**
             * Expires At
             * @description null for never
             */
            expires_at: string | null;
        };
        /**
         * PipelineReply
         * @description Labels with their probabilities, the most probable first.
         */
        PipelineReply: components["schemas"]["LabelScore"][];
        /**
         * PredictManyReply
         * @description Results in the order of the tasks; of all tasks, the newest first.
         */
        PredictManyReply: {
            /** Results */
            results: (components["schemas"]["TaskPredictions"] | components["schemas"]["FailedTask"])[];
            /**
             * Timing Ms
             * @description decode, embed, head, total
             */
            timing_ms: {
                [key: string]: number;
            };
        };
        /**
         * PredictReply
         * @description Predictions in the order of the images.
         */
        PredictReply: {
            /** Task */
            task: string;
            /** Version */
            version: number;
            /** Backbone */
            backbone: string;
            /**
             * Mode
             * @description how the images were judged: `inductive`, each alone, also where `transductive` would not help
             * @enum {string}
             */
            mode: "inductive" | "transductive";
            /** @description there if it was asked for */
            coverage?: components["schemas"]["Coverage"] | null;
            /**
             * Predictions
             * @description without `known`, `novelty` and `nearest` if `unknown=ignore` was asked for
             */
            predictions: (components["schemas"]["RememberedJudgedPrediction"] | components["schemas"]["RememberedPrediction"] | components["schemas"]["JudgedPrediction"] | components["schemas"]["Prediction"] | components["schemas"]["FailedPrediction"])[];
            /**
             * Timing Ms
             * @description decode, embed, head, total
             */
            timing_ms: {
                [key: string]: number;
            };
        };
        /**
         * Prediction
         * @description The prediction for one image.
         */
        Prediction: {
            /** Label */
            label: string;
            /** Probability */
            probability: number;
            /**
             * Scores
             * @description probability by label, the most probable first; `top_k` of them. Where an image may have several labels, each is independent of the others
             */
            scores: {
                [key: string]: number;
            };
            /**
             * Labels
             * @description there if an image may have several labels: those with a probability of at least ½, the most probable first
             */
            labels?: string[] | null;
            /**
             * Set
             * @description there if `coverage` was asked for: the labels that hold the right one so often, the most probable first
             */
            set?: string[] | null;
        };
        /**
         * Prior
         * @description The bundle's evaluations at the way and shot nearest to the task's: on other classes, not on this task.
         */
        Prior: {
            /**
             * Accuracy
             * @description mean over the datasets
             */
            accuracy: number;
            /**
             * Lowest
             * @description of the dataset that was hardest
             */
            lowest: number;
            /**
             * Highest
             * @description of the one that was easiest
             */
            highest: number;
            /** Ways */
            ways: number;
            /** Shots */
            shots: number;
            /** Datasets */
            datasets: string[];
        };
        /**
         * ProblemInPlace
         * @description The error of one of several, in the place of its answer.
         */
        ProblemInPlace: {
            /** Code */
            code: string;
            /** Detail */
            detail: string;
        };
        /**
         * Quality
         * @description The quality of a task, as far as its support set alone can tell.
         *
         *     Each example is judged by a head fitted without it, and without examples that look like other shots of the same thing.
         */
        Quality: {
            /**
             * Method
             * @description `leave-one-out`, which is exact, or above 500 examples `20 folds`
             */
            method: string;
            /**
             * Judged
             * @description examples that could be judged: all but those of classes with one group
             */
            judged: number;
            /**
             * Groups
             * @description how many examples there are, if near-duplicates and shots of one thing count as one
             */
            groups: number;
            /**
             * Accuracy
             * @description share of the judged examples that were recognised, each group counting as one; null if there are none. Where an image may have several labels: the mean over the images of the labels that it has and got, among those that it has or got
             */
            accuracy: number | null;
            /**
             * Interval
             * @description 95 % interval of the accuracy on further images of these kinds; null without an accuracy
             */
            interval: [
                number,
                number
            ] | null;
            /** Classes */
            classes: components["schemas"]["ClassQuality"][];
            /**
             * One Session
             * @description classes whose examples look like one session, so that none tells how images from elsewhere are recognised
             */
            one_session: string[];
            /**
             * Confusions
             * @description which classes are taken for which, the most frequent first; empty where an image may have several labels
             */
            confusions: components["schemas"]["Confusion"][];
            /** @description where not every example could be judged: what the bundle's evaluations found */
            prior: components["schemas"]["Prior"] | null;
            /**
             * Advice
             * @description which class gains most from more images
             */
            advice: string;
            /**
             * Forecast
             * @description with twice and five times the examples; empty where none is judged and the backbone was not evaluated
             * @default []
             */
            forecast?: components["schemas"]["ForecastReply"][];
            /**
             * Suspects
             * @description examples whose label the others contradict, the clearest first
             */
            suspects: components["schemas"]["SuspectReply"][];
            /** Duplicates */
            duplicates: components["schemas"]["DuplicateReply"][];
            /**
             * Reliability
             * @description the judged examples by the probability of the label that they got: whether probabilities mean what they say
             * @default []
             */
            reliability?: components["schemas"]["ReliabilityBin"][];
        };
        /**
         * QualityReply
         * @description The quality of a task's active version.
         */
        QualityReply: {
            /**
             * Method
             * @description `leave-one-out`, which is exact, or above 500 examples `20 folds`
             */
            method: string;
            /**
             * Judged
             * @description examples that could be judged: all but those of classes with one group
             */
            judged: number;
            /**
             * Groups
             * @description how many examples there are, if near-duplicates and shots of one thing count as one
             */
            groups: number;
            /**
             * Accuracy
             * @description share of the judged examples that were recognised, each group counting as one; null if there are none. Where an image may have several labels: the mean over the images of the labels that it has and got, among those that it has or got
             */
            accuracy: number | null;
            /**
             * Interval
             * @description 95 % interval of the accuracy on further images of these kinds; null without an accuracy
             */
            interval: [
                number,
                number
            ] | null;
            /** Classes */
            classes: components["schemas"]["ClassQuality"][];
            /**
             * One Session
             * @description classes whose examples look like one session, so that none tells how images from elsewhere are recognised
             */
            one_session: string[];
            /**
             * Confusions
             * @description which classes are taken for which, the most frequent first; empty where an image may have several labels
             */
            confusions: components["schemas"]["Confusion"][];
            /** @description where not every example could be judged: what the bundle's evaluations found */
            prior: components["schemas"]["Prior"] | null;
            /**
             * Advice
             * @description which class gains most from more images
             */
            advice: string;
            /**
             * Forecast
             * @description with twice and five times the examples; empty where none is judged and the backbone was not evaluated
             * @default []
             */
            forecast?: components["schemas"]["ForecastReply"][];
            /**
             * Suspects
             * @description examples whose label the others contradict, the clearest first
             */
            suspects: components["schemas"]["SuspectReply"][];
            /** Duplicates */
            duplicates: components["schemas"]["DuplicateReply"][];
            /**
             * Reliability
             * @description the judged examples by the probability of the label that they got: whether probabilities mean what they say
             * @default []
             */
            reliability?: components["schemas"]["ReliabilityBin"][];
            /** Task */
            task: string;
            /** Version */
            version: number;
        };
        /**
         * QuotaReply
         * @description A quota of the caller, and how much of it is used.
         */
        QuotaReply: {
            /**
             * Quota
             * @description what it limits
             * @enum {string}
             */
            quota: "requests" | "images" | "tasks" | "examples" | "bytes" | "captures";
            /**
             * Of
             * @description whose it is: all keys of a tenant share the tenant's
             * @enum {string}
             */
            of: "tenant" | "key";
            /** Limit */
            limit: number;
            /** Used */
            used: number;
            /**
             * Seconds
             * @description in which so many may come; null for what is stored
             */
            seconds: number | null;
        };
        /** RefreshAccuracy */
        RefreshAccuracy: {
            /**
             * Judged By
             * @description `leave-one-out` or `20 folds` of the support set; where no example can be judged so, `evaluations`: the mean of those that both bundles have of the same datasets, at the nearest way and shot; or `nothing`
             */
            judged_by: string;
            /**
             * Judged
             * @description how many examples, the same before and after
             */
            judged: number;
            /** Before */
            before: number | null;
            /**
             * After
             * @description on the other bundle, also where the task was not moved there
             */
            after: number | null;
        };
        /**
         * RefreshPage
         * @description Newest first.
         */
        RefreshPage: {
            /** Refreshes */
            refreshes: components["schemas"]["RefreshReply"][];
            /**
             * Next Cursor
             * @description pass as `cursor` for the next page; null on the last
             */
            next_cursor: string | null;
        };
        /**
         * RefreshReply
         * @description A refresh, and how far it is.
         */
        RefreshReply: {
            /** Id */
            id: string;
            /** To */
            to: string;
            /** Max Drop */
            max_drop: number;
            /**
             * State
             * @enum {string}
             */
            state: "running" | "paused" | "cancelled" | "finished" | "failed" | "rolling_back" | "rolled_back";
            /** @description why it failed */
            reason: components["schemas"]["ProblemInPlace"] | null;
            /**
             * Tasks
             * @description how many tasks of each outcome there are; what there is none of is left out
             */
            tasks: {
                [key: string]: number;
            };
            /** @description support images of those tasks; of a rollback, of the tasks that were moved */
            images: components["schemas"]["DoneOf"];
            /**
             * Images Per Second
             * @description of the last half minute; null while nothing is under way
             */
            images_per_second: number | null;
            /**
             * Seconds Left
             * @description at that rate
             */
            seconds_left: number | null;
            /** @description of the tasks judged so far, moved or kept; null without any */
            accuracy: components["schemas"]["MeanAccuracy"] | null;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Updated At
             * Format: date-time
             * @description when the state last changed
             */
            updated_at: string;
        };
        /**
         * RefreshTaskPage
         * @description The oldest task first.
         */
        RefreshTaskPage: {
            /** Tasks */
            tasks: components["schemas"]["RefreshTaskReply"][];
            /**
             * Next Cursor
             * @description pass as `cursor` for the next page; null on the last
             */
            next_cursor: string | null;
        };
        /**
         * RefreshTaskReply
         * @description The outcome of a refresh for one task.
         */
        RefreshTaskReply: {
            /** Task */
            task: string;
            /**
             * Outcome
             * @enum {string}
             */
            outcome: "waiting" | "moved" | "kept" | "unchanged" | "gone" | "failed" | "skipped" | "returning" | "returned" | "not_returned";
            /** Images */
            images: number;
            /** Backbone Before */
            backbone_before: string | null;
            versions: components["schemas"]["RefreshVersions"];
            accuracy: components["schemas"]["RefreshAccuracy"] | null;
            /** @description why that became of it; null while it is pending, and of old refreshes */
            reason: components["schemas"]["ProblemInPlace"] | null;
        };
        /**
         * RefreshVersions
         * @description The task's versions: active before, made by the refresh, made active by the rollback.
         */
        RefreshVersions: {
            /** Before */
            before: number | null;
            /** After */
            after: number | null;
            /** Returned */
            returned: number | null;
        };
        /**
         * ReliabilityBin
         * @description The left-out examples whose label got a probability in one range.
         */
        ReliabilityBin: {
            /** Lowest */
            lowest: number;
            /**
             * Highest
             * @description it belongs to the next range; 1 to the last
             */
            highest: number;
            /** Examples */
            examples: number;
            /**
             * Probability
             * @description of the labels that they got, in the mean, each group counting as one
             */
            probability: number;
            /**
             * Accuracy
             * @description share of them that got the right one, each group counting as one
             */
            accuracy: number;
        };
        /**
         * RememberedJudgedPrediction
         * @description A prediction with a verdict that was stored, with `remember=true`.
         */
        RememberedJudgedPrediction: {
            /** Label */
            label: string;
            /** Probability */
            probability: number;
            /**
             * Scores
             * @description probability by label, the most probable first; `top_k` of them. Where an image may have several labels, each is independent of the others
             */
            scores: {
                [key: string]: number;
            };
            /**
             * Labels
             * @description there if an image may have several labels: those with a probability of at least ½, the most probable first
             */
            labels?: string[] | null;
            /**
             * Set
             * @description there if `coverage` was asked for: the labels that hold the right one so often, the most probable first
             */
            set?: string[] | null;
            /**
             * Known
             * @description false for a stranger, `none of these`: then `label` is only the likest of the classes. Where an image may have several labels: whether it has any
             */
            known: boolean;
            /**
             * Novelty
             * @description 0 for what looks like the task's classes, 1 for a stranger; the verdict turns at ½. Where an image may have several labels: one less the highest probability
             */
            novelty: number;
            /**
             * Nearest
             * @description the three examples it most resembles, the most similar first
             */
            nearest: components["schemas"]["Neighbour"][];
            /**
             * Prediction
             * @description its id, for `…/corrections`
             */
            prediction: string;
        };
        /**
         * RememberedPrediction
         * @description A prediction that was stored, with `remember=true`.
         */
        RememberedPrediction: {
            /** Label */
            label: string;
            /** Probability */
            probability: number;
            /**
             * Scores
             * @description probability by label, the most probable first; `top_k` of them. Where an image may have several labels, each is independent of the others
             */
            scores: {
                [key: string]: number;
            };
            /**
             * Labels
             * @description there if an image may have several labels: those with a probability of at least ½, the most probable first
             */
            labels?: string[] | null;
            /**
             * Set
             * @description there if `coverage` was asked for: the labels that hold the right one so often, the most probable first
             */
            set?: string[] | null;
            /**
             * Prediction
             * @description its id, for `…/corrections`
             */
            prediction: string;
        };
        /**
         * SuspectReply
         * @description An example that the others contradict.
         */
        SuspectReply: {
            /** Example */
            example: string;
            /**
             * Label
             * @description null where an image may have several
             */
            label: string | null;
            /**
             * Labels
             * @description its labels, where an image may have several; else null
             */
            labels?: string[] | null;
            /**
             * Suggested
             * @description the label that it seems to belong to; null where an image may have several
             */
            suggested: string | null;
            /**
             * Suggested Labels
             * @description the labels that it seems to have, where it may have several
             */
            suggested_labels?: string[] | null;
            /**
             * Confidence
             * @description probability of the suggested label, or of the clearest of several changes
             */
            confidence: number;
            /**
             * File Name
             * @description what the image's file was called; null where its sender did not say, or no images are kept
             */
            file_name: string | null;
        };
        /**
         * TagPrediction
         * @description A label and its probability, as Custom Vision answers them.
         */
        TagPrediction: {
            /** Probability */
            probability: number;
            /**
             * Tagid
             * Format: uuid
             * @description the same for a label of a task in all of its versions
             */
            tagId: string;
            /**
             * Tagname
             * @description the label
             */
            tagName: string;
        };
        /**
         * TaskPage
         * @description Newest first.
         */
        TaskPage: {
            /** Tasks */
            tasks: components["schemas"]["TaskReply"][];
            /**
             * Next Cursor
             * @description pass as `cursor` for the next page; null on the last
             */
            next_cursor: string | null;
        };
        /**
         * TaskPredictions
         * @description The predictions of one of several tasks, in the order of the images.
         */
        TaskPredictions: {
            /** Task */
            task: string;
            /** Version */
            version: number;
            /** Backbone */
            backbone: string;
            /**
             * Predictions
             * @description with `known`, `novelty` and `nearest` if `unknown=judge` was asked for
             */
            predictions: (components["schemas"]["JudgedPrediction"] | components["schemas"]["Prediction"] | components["schemas"]["FailedPrediction"])[];
        };
        /**
         * TaskReply
         * @description A task in its active version.
         */
        TaskReply: {
            /** Id */
            id: string;
            /** Name */
            name: string;
            /**
             * Version
             * @description the active version
             */
            version: number;
            /**
             * Backbone
             * @description name@version of the bundle that embeds this task's images
             */
            backbone: string;
            /** Classes */
            classes: components["schemas"]["ClassReply"][];
            /**
             * Negatives
             * @description images of none of the classes, by which strangers are told
             */
            negatives: number;
            /**
             * Labels
             * @description of an image: `single` for one, `multiple` for any number
             * @enum {string}
             */
            labels: "single" | "multiple";
            head: components["schemas"]["HeadReply"];
            /**
             * Name Weight
             * @description of the class names beside the images, chosen by leave-one-out: 0, ⅛, ¼, ½ or 1; 0 unless the gain is more than chance explains. 1 while a class has no image, and the names alone answer. null where the backbone cannot read, above 2,000 examples or 256 classes, and where an image may have several labels
             */
            name_weight: number | null;
            capture: components["schemas"]["CaptureSettingReply"];
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Updated At
             * Format: date-time
             */
            updated_at: string;
        };
        /**
         * VersionPage
         * @description Newest first.
         */
        VersionPage: {
            /** Versions */
            versions: components["schemas"]["VersionReply"][];
        };
        /**
         * VersionReply
         * @description One immutable version of a task.
         */
        VersionReply: {
            /** Version */
            version: number;
            /** Active */
            active: boolean;
            /**
             * Change
             * @description what made it: `created`, `added`, `removed`, `relabelled` or `refreshed`
             */
            change: string;
            /** Backbone */
            backbone: string;
            /** Classes */
            classes: components["schemas"]["ClassReply"][];
            /**
             * Negatives
             * @description images of none of the classes
             */
            negatives: number;
            head: components["schemas"]["HeadReply"];
            /**
             * Name Weight
             * @description of the class names beside the images, chosen by leave-one-out: 0, ⅛, ¼, ½ or 1; 0 unless the gain is more than chance explains. 1 while a class has no image, and the names alone answer. null where the backbone cannot read, above 2,000 examples or 256 classes, and where an image may have several labels
             */
            name_weight: number | null;
            /**
             * Accuracy
             * @description by leave-one-out when the version was made; null if that was not done, or no example could be judged
             */
            accuracy: number | null;
            /**
             * Interval
             * @description 95 % interval of the accuracy on further images of these kinds; null without an accuracy
             */
            interval: [
                number,
                number
            ] | null;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
        };
        /**
         * TaskBody
         * @description `POST /v1/tasks` as JSON.
         */
        TaskBody: {
            /** @default null */
            name?: string | null;
            /**
             * @default {
             *       "solver": null,
             *       "C": null,
             *       "temperature": null,
             *       "centre": null
             *     }
             */
            options?: components["schemas"]["TaskOptions"];
            /**
             * @default {
             *       "keep": null,
             *       "limit": null,
             *       "days": null
             *     }
             */
            capture?: components["schemas"]["CaptureOptions"];
            /**
             * @description `multiple` if an image may have any number of labels; it cannot be changed later
             * @default single
             * @enum {unknown}
             */
            label_mode?: "multiple" | "single";
            /**
             * @description names of classes, which need no example where the backbone reads text; each as a label is
             * @default []
             */
            classes?: string[];
            /** @default [] */
            examples?: components["schemas"]["ExampleBody"][];
        };
        /**
         * TaskOptions
         * @description The options of the head; those left out come from the backbone's defaults.
         */
        TaskOptions: {
            /**
             * @description how the last layer is fitted
             * @default null
             */
            solver?: ("logistic" | "prototype" | "ridge") | null;
            /**
             * @description inverse strength of the L2 penalty (not for `prototype`)
             * @default null
             */
            C?: number | null;
            /**
             * @description T of softmax(scores / T)
             * @default null
             */
            temperature?: number | null;
            /**
             * @description subtract the base classes' mean embedding before normalising
             * @default null
             */
            centre?: boolean | null;
        };
        /**
         * CaptureOptions
         * @description The predictions of a task that are captured for review; what is left out stays as it is.
         */
        CaptureOptions: {
            /**
             * @description `none` (at first), `all`, or `uncertain`: unknown, or probability or margin too low
             * @default null
             */
            keep?: ("all" | "none" | "uncertain") | null;
            /**
             * @description most captures of the task, 1000 at first; the oldest leaves first
             * @default null
             */
            limit?: number | null;
            /**
             * @description age at which a capture leaves, 30 at first
             * @default null
             */
            days?: number | null;
            /** @description number of captures at which an event tells that they wait; null, as at first, for never */
            notify?: number | null;
        };
        /** ExampleBody */
        ExampleBody: {
            /** @description 1 to 128 characters after trimming; case is kept; null if it is of none of the classes */
            label?: string | null;
            /** @description instead, in a task of several labels an image: all its labels, at most 64; empty if it has none */
            labels?: string[];
            /** @description JPEG, PNG, WebP, HEIC or AVIF, base64 */
            image: string;
            /**
             * @description what the image's file is called, with folders if they tell something
             * @default null
             */
            file_name?: string | null;
        };
        /**
         * ExamplesBody
         * @description `POST /v1/tasks/{task}/examples` as JSON.
         */
        ExamplesBody: {
            examples: components["schemas"]["ExampleBody"][];
        };
        /**
         * TaskPatch
         * @description `PATCH /v1/tasks/{task}`: what is given changes.
         */
        TaskPatch: {
            /** @default null */
            name?: string | null;
            /**
             * @description roll back or forward to this version
             * @default null
             */
            active_version?: number | null;
            /** @default null */
            capture?: components["schemas"]["CaptureOptions"] | null;
        };
        /**
         * ExamplePatch
         * @description `PATCH /v1/tasks/{task}/examples/{example}`: classes of the task's or new ones.
         */
        ExamplePatch: {
            /** @description 1 to 128 characters after trimming; case is kept; null if it is of none of the classes */
            label?: string | null;
            /** @description instead, in a task of several labels an image: all its labels, at most 64; empty if it has none */
            labels?: string[];
        };
        /**
         * CompareBody
         * @description `POST /v1/tasks/{task}/compare`.
         */
        CompareBody: {
            /**
             * @description by default every solver as the task's backbone has them, and the active version's options on the backbone that new tasks get and on every other that is open
             * @default null
             */
            candidates?: components["schemas"]["Candidate"][] | null;
        };
        /**
         * Candidate
         * @description A way to fit a task's head. What is left out stays as the active version has it; another solver comes with the backbone's
         *     options for it, and so does another backbone, save options that the task's owner asked for.
         */
        Candidate: {
            /**
             * @description name@version
             * @default null
             */
            backbone?: string | null;
            /**
             * @default {
             *       "solver": null,
             *       "C": null,
             *       "temperature": null,
             *       "centre": null
             *     }
             */
            options?: components["schemas"]["TaskOptions"];
        };
        /**
         * ResolveBody
         * @description `POST /v1/tasks/{task}/captures/resolve`.
         */
        ResolveBody: {
            decisions: components["schemas"]["Decision"][];
        };
        /**
         * Decision
         * @description A decision about some captures: either `label`, or `labels` in a task of several labels an image, or `discard`.
         */
        Decision: {
            /** @description ids */
            captures: string[];
            /** @description the class that they belong to, of the task's or a new one; null for none: they become negatives */
            label?: string | null;
            /** @description instead, in a task of several labels an image: all its labels, at most 64; empty if it has none */
            labels?: string[];
            /**
             * @description remove them for good
             * @default false
             */
            discard?: boolean;
        };
        /**
         * CorrectionBody
         * @description `POST /v1/tasks/{task}/corrections`: classes of the task's or new ones.
         */
        CorrectionBody: {
            /** @description 1 to 128 characters after trimming; case is kept; null if it is of none of the classes */
            label?: string | null;
            /** @description instead, in a task of several labels an image: all its labels, at most 64; empty if it has none */
            labels?: string[];
            /** @description id of a prediction that was remembered or captured */
            prediction: string;
        };
        /**
         * PredictBody
         * @description `POST /v1/tasks/{task}/predict` as JSON.
         */
        PredictBody: {
            /** @description JPEG, PNG, WebP, HEIC or AVIF, base64 */
            images: string[];
        };
        /**
         * PredictManyBody
         * @description `POST /v1/predict` as JSON.
         */
        PredictManyBody: {
            /** @description JPEG, PNG, WebP, HEIC or AVIF, base64 */
            images: string[];
            /**
             * @description ids, or `all`; unless the query says it
             * @default null
             */
            tasks?: string[] | "all" | null;
        };
        /**
         * PipelineBody
         * @description `POST /v1/tasks/{task}/hf` as JSON, as Hugging Face's clients write it where they have parameters.
         */
        PipelineBody: {
            /** @description JPEG, PNG, WebP, HEIC or AVIF, base64 */
            inputs: string;
            /**
             * @default {
             *       "top_k": null
             *     }
             */
            parameters?: components["schemas"]["PipelineParameters"];
        };
        /**
         * PipelineParameters
         * @description The parameters of Hugging Face's `image-classification` that this server knows.
         */
        PipelineParameters: {
            /**
             * @description labels to score, the most probable first; all by default
             * @default null
             */
            top_k?: number | null;
        };
        /**
         * BackboneBody
         * @description `POST /v1/backbones`.
         */
        BackboneBody: {
            /** @description name@version */
            id: string;
        };
        /**
         * BackbonePatch
         * @description `PATCH /v1/backbones/{backbone}`.
         */
        BackbonePatch: {
            /**
             * @description new tasks get this one; the default before it is none any more
             * @constant
             */
            default: true;
        };
        /**
         * RefreshBody
         * @description `POST /v1/refreshes`.
         */
        RefreshBody: {
            /** @description name@version of the bundle that the tasks are moved to */
            to: string;
            /**
             * @description ids, or `all`
             * @default all
             */
            tasks?: string[] | "all";
            /**
             * @description how far a task's accuracy may fall; one that falls further stays; at 1 none does
             * @default 0.02
             */
            max_drop?: number;
        };
        /**
         * KeyBody
         * @description A key to be made, of the tenant of the key that asks.
         */
        KeyBody: {
            /**
             * @description each includes those before it
             * @enum {unknown}
             */
            scope: "manage" | "predict" | "write";
            /**
             * @description the only task that it is for; not with the scope `manage`
             * @default null
             */
            task?: string | null;
            /**
             * @description seconds; left out or null, it never expires
             * @default null
             */
            expires_in?: number | null;
        };
        /**
         * RotateBody
         * @description The rotation of a key.
         */
        RotateBody: {
            /**
             * @description seconds for which the old key is valid yet
             * @default 86400
             */
            expires_in?: number;
        };
        /**
         * Problem
         * @description RFC 9457 `application/problem+json`.
         */
        Problem: {
            /**
             * Type
             * @description always `about:blank`: `code` tells the kinds apart
             * @default about:blank
             */
            type?: string;
            /** Title */
            title: string;
            /** Status */
            status: number;
            /**
             * Code
             * @description stable; see the table of errors
             */
            code: string;
            /** Detail */
            detail: string;
            /**
             * Error
             * @description `detail` once more, where Hugging Face's clients read it; for them alone
             * @default null
             */
            error?: string | null;
            /**
             * Message
             * @description `detail` once more, where Custom Vision's clients read it; for them alone
             * @default null
             */
            message?: string | null;
            /** Request Id */
            request_id: string;
            /**
             * Images
             * @description the examples that cannot be read, in their order; only where that is what is wrong
             * @default null
             */
            images?: components["schemas"]["ProblemImage"][] | null;
        };
        /**
         * ProblemImage
         * @description An image that spoils the request.
         */
        ProblemImage: {
            /** Code */
            code: string;
            /** Detail */
            detail: string;
            /**
             * Position
             * @description which of the images sent, from 0; of an archive, in the order of its paths
             */
            position: number;
            /**
             * File Name
             * @description what its file is called, where the request says so
             * @default null
             */
            file_name?: string | null;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    recognise_v1_tasks__task__predict_post: {
        parameters: {
            query?: {
                /** @description labels to score, the most probable first; all by default */
                top_k?: number | null;
                /** @description `ignore` leaves out `known`, `novelty` and `nearest` */
                unknown?: "judge" | "ignore";
                /** @description `transductive` judges the images of the request in one another's light */
                mode?: "inductive" | "transductive";
                /** @description `true` stores each prediction before it is answered, with an id for corrections; `false` captures none; otherwise as the task's `capture` says */
                remember?: boolean | null;
                /** @description adds to each prediction the `set` of labels that holds the right one so often */
                coverage?: number | null;
            };
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "images": [
                 *         "(bytes of cat1.jpg)",
                 *         "(bytes of dog1.jpg)"
                 *       ]
                 *     }
                 */
                "multipart/form-data": {
                    images: Blob[];
                };
                /**
                 * @example {
                 *       "images": [
                 *         "iVBORw0KGgo…"
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["PredictBody"];
                /** @example (bytes of the image) */
                "image/jpeg": Blob;
                /** @example (bytes of the image) */
                "image/png": Blob;
                /** @example (bytes of the image) */
                "image/webp": Blob;
                /** @example (bytes of the image) */
                "image/heic": Blob;
                /** @example (bytes of the image) */
                "image/avif": Blob;
                /** @example (bytes of the image) */
                "image/heif": Blob;
                /** @example (bytes of the image) */
                "image/jpg": Blob;
                /** @example (bytes of the image) */
                "application/octet-stream": Blob;
            };
        };
        responses: {
            /** @description Predictions in the order of the images */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "predictions": [
                     *         {
                     *           "label": "cat",
                     *           "probability": 0.93,
                     *           "scores": {
                     *             "cat": 0.93,
                     *             "dog": 0.07
                     *           },
                     *           "known": true,
                     *           "novelty": 0.0831,
                     *           "nearest": [
                     *             {
                     *               "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *               "label": "cat",
                     *               "similarity": 0.713,
                     *               "image": "/v1/tasks/task_01kam0c7v3e9m2q8x5t4r6w1zy/examples/example_01kam0c7v3q2w8e5r7t9y4u6ia/image",
                     *               "file_name": "cat3.jpg"
                     *             }
                     *           ]
                     *         },
                     *         {
                     *           "error": {
                     *             "code": "image_broken",
                     *             "detail": "the image is truncated or damaged and cannot be decoded"
                     *           }
                     *         }
                     *       ],
                     *       "timing_ms": {
                     *         "decode": 0.6,
                     *         "embed": 4.1,
                     *         "head": 0.1,
                     *         "total": 4.9
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["PredictReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    recognise_by_many_v1_predict_post: {
        parameters: {
            query?: {
                /** @description ids separated by commas, or `all`, newest first; unless the body says it */
                tasks?: string[] | null;
                /** @description labels to score in each prediction, the most probable first */
                top_k?: number;
                /** @description `judge` adds `known`, `novelty` and `nearest`, which takes longer */
                unknown?: "judge" | "ignore";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "images": [
                 *         "(bytes of cat1.jpg)",
                 *         "(bytes of dog1.jpg)"
                 *       ],
                 *       "tasks": [
                 *         "task_01kam0h2s8b4d6f1g7j3k5n9pw",
                 *         "task_01kam0c7v3e9m2q8x5t4r6w1zy"
                 *       ]
                 *     }
                 */
                "multipart/form-data": {
                    images: Blob[];
                    /** @description ids, several in one text separated by commas; or `all`; unless the query says it */
                    tasks?: string[];
                };
                /**
                 * @example {
                 *       "images": [
                 *         "iVBORw0KGgo…"
                 *       ],
                 *       "tasks": [
                 *         "task_01kam0h2s8b4d6f1g7j3k5n9pw",
                 *         "task_01kam0c7v3e9m2q8x5t4r6w1zy"
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["PredictManyBody"];
                /** @example (bytes of the image) */
                "image/jpeg": Blob;
                /** @example (bytes of the image) */
                "image/png": Blob;
                /** @example (bytes of the image) */
                "image/webp": Blob;
                /** @example (bytes of the image) */
                "image/heic": Blob;
                /** @example (bytes of the image) */
                "image/avif": Blob;
                /** @example (bytes of the image) */
                "image/heif": Blob;
                /** @example (bytes of the image) */
                "image/jpg": Blob;
                /** @example (bytes of the image) */
                "application/octet-stream": Blob;
            };
        };
        responses: {
            /** @description A result for each task, in the order asked */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "results": [
                     *         {
                     *           "task": "task_01kam0h2s8b4d6f1g7j3k5n9pw",
                     *           "version": 2,
                     *           "backbone": "name@1",
                     *           "predictions": [
                     *             {
                     *               "label": "outdoors",
                     *               "probability": 0.88,
                     *               "scores": {
                     *                 "outdoors": 0.88
                     *               }
                     *             },
                     *             {
                     *               "error": {
                     *                 "code": "image_broken",
                     *                 "detail": "the image is truncated or damaged and cannot be decoded"
                     *               }
                     *             }
                     *           ]
                     *         },
                     *         {
                     *           "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *           "version": 1,
                     *           "backbone": "name@1",
                     *           "predictions": [
                     *             {
                     *               "label": "cat",
                     *               "probability": 0.93,
                     *               "scores": {
                     *                 "cat": 0.93
                     *               }
                     *             },
                     *             {
                     *               "error": {
                     *                 "code": "image_broken",
                     *                 "detail": "the image is truncated or damaged and cannot be decoded"
                     *               }
                     *             }
                     *           ]
                     *         }
                     *       ],
                     *       "timing_ms": {
                     *         "decode": 0.6,
                     *         "embed": 4.1,
                     *         "head": 0.4,
                     *         "total": 5.2
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["PredictManyReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_tasks_v1_tasks_get: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before */
                cursor?: string | null;
                /** @description entries per page */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of tasks */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "tasks": [
                     *         {
                     *           "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *           "name": "pets",
                     *           "version": 1,
                     *           "backbone": "name@1",
                     *           "classes": [
                     *             {
                     *               "label": "cat",
                     *               "examples": 5
                     *             },
                     *             {
                     *               "label": "dog",
                     *               "examples": 5
                     *             }
                     *           ],
                     *           "negatives": 0,
                     *           "labels": "single",
                     *           "head": {
                     *             "solver": "logistic",
                     *             "C": 3,
                     *             "temperature": 0.33,
                     *             "centre": false
                     *           },
                     *           "capture": {
                     *             "keep": "none",
                     *             "limit": 1000,
                     *             "days": 30
                     *           },
                     *           "created_at": "2026-11-21T09:30:00Z",
                     *           "updated_at": "2026-11-21T09:30:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["TaskPage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    create_v1_tasks_post: {
        parameters: {
            query?: never;
            header?: {
                /** @description up to 255 characters; the same key with the same request within 24 hours gets the first answer again */
                "idempotency-key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "pets",
                 *       "images": [
                 *         "(bytes of cat1.jpg)",
                 *         "(bytes of dog1.jpg)"
                 *       ],
                 *       "labels": [
                 *         "cat",
                 *         "dog"
                 *       ]
                 *     }
                 */
                "multipart/form-data": {
                    /** @description JPEG, PNG, WebP, HEIC or AVIF */
                    images?: Blob[];
                    /** @description one per image, in the same order; a JSON list where an image may have several */
                    labels?: string[];
                    /**
                     * Format: binary
                     * @description instead of images and labels: a zip with a folder per class
                     */
                    archive?: Blob;
                    /** @description images of none of the classes */
                    negatives?: Blob[];
                    name?: string;
                    /** @description TaskOptions, as JSON */
                    options?: string;
                    /** @description CaptureOptions, as JSON */
                    capture?: string;
                    /**
                     * @description `multiple` if an image may have any number of labels
                     * @enum {unknown}
                     */
                    label_mode?: "single" | "multiple";
                    /** @description names of classes, which need no image where the backbone reads text: a list, as JSON */
                    classes?: string;
                };
                /**
                 * @example {
                 *       "name": "pets",
                 *       "examples": [
                 *         {
                 *           "label": "cat",
                 *           "image": "iVBORw0KGgo…"
                 *         },
                 *         {
                 *           "label": "dog",
                 *           "image": "iVBORw0KGgo…"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["TaskBody"];
            };
        };
        responses: {
            /** @description The task, ready to predict */
            201: {
                headers: {
                    /** @description the task */
                    Location?: string;
                    /** @description `true` on an answer given before to the same Idempotency-Key */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z",
                     *       "quality": {
                     *         "method": "leave-one-out",
                     *         "judged": 10,
                     *         "accuracy": 0.8,
                     *         "interval": [
                     *           0.49,
                     *           0.943
                     *         ],
                     *         "classes": [
                     *           {
                     *             "label": "cat",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 3,
                     *             "accuracy": 0.6,
                     *             "interval": [
                     *               0.231,
                     *               0.882
                     *             ]
                     *           },
                     *           {
                     *             "label": "dog",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 5,
                     *             "accuracy": 1,
                     *             "interval": [
                     *               0.566,
                     *               1
                     *             ]
                     *           }
                     *         ],
                     *         "confusions": [
                     *           {
                     *             "label": "cat",
                     *             "recognised_as": "dog",
                     *             "examples": 2
                     *           }
                     *         ],
                     *         "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *         "forecast": [
                     *           {
                     *             "factor": 2,
                     *             "accuracy": 0.921,
                     *             "interval": [
                     *               0.81,
                     *               0.971
                     *             ]
                     *           },
                     *           {
                     *             "factor": 5,
                     *             "accuracy": 0.939,
                     *             "interval": [
                     *               0.838,
                     *               0.981
                     *             ]
                     *           }
                     *         ],
                     *         "suspects": [
                     *           {
                     *             "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *             "label": "cat",
                     *             "suggested": "dog",
                     *             "confidence": 0.91,
                     *             "file_name": "cat3.jpg"
                     *           }
                     *         ],
                     *         "duplicates": [],
                     *         "reliability": [
                     *           {
                     *             "lowest": 0.6,
                     *             "highest": 0.8,
                     *             "examples": 4,
                     *             "probability": 0.71,
                     *             "accuracy": 0.75
                     *           },
                     *           {
                     *             "lowest": 0.8,
                     *             "highest": 1,
                     *             "examples": 6,
                     *             "probability": 0.88,
                     *             "accuracy": 0.833
                     *           }
                     *         ]
                     *       },
                     *       "timing_ms": {
                     *         "decode": 1.2,
                     *         "embed": 14.5,
                     *         "fit": 1.1,
                     *         "store": 2.3,
                     *         "total": 19.4
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ChangedTaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    show_v1_tasks__task__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The task */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["TaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_v1_tasks__task__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Gone */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    change_v1_tasks__task__patch: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "active_version": 1
                 *     }
                 */
                "application/json": components["schemas"]["TaskPatch"];
            };
        };
        responses: {
            /** @description The task as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["TaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    versions_v1_tasks__task__versions_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every version */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "versions": [
                     *         {
                     *           "version": 1,
                     *           "active": true,
                     *           "change": "created",
                     *           "backbone": "name@1",
                     *           "classes": [
                     *             {
                     *               "label": "cat",
                     *               "examples": 5
                     *             },
                     *             {
                     *               "label": "dog",
                     *               "examples": 5
                     *             }
                     *           ],
                     *           "negatives": 0,
                     *           "head": {
                     *             "solver": "logistic",
                     *             "C": 3,
                     *             "temperature": 0.33,
                     *             "centre": false
                     *           },
                     *           "accuracy": 0.8,
                     *           "interval": [
                     *             0.49,
                     *             0.943
                     *           ],
                     *           "created_at": "2026-11-21T09:30:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["VersionPage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    examples_v1_tasks__task__examples_get: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before */
                cursor?: string | null;
                /** @description entries per page */
                limit?: number;
                /** @description true: only images of none of the classes; false: only those of a class */
                negatives?: boolean | null;
            };
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of examples */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "examples": [
                     *         {
                     *           "id": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *           "label": "cat",
                     *           "media_type": "image/jpeg",
                     *           "bytes": 48213,
                     *           "image_kept": true,
                     *           "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                     *           "created_at": "2026-11-21T09:30:00Z",
                     *           "file_name": "cat3.jpg"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ExamplePage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    add_v1_tasks__task__examples_post: {
        parameters: {
            query?: never;
            header?: {
                /** @description up to 255 characters; the same key with the same request within 24 hours gets the first answer again */
                "idempotency-key"?: string | null;
            };
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "images": [
                 *         "(bytes of cat1.jpg)",
                 *         "(bytes of dog1.jpg)"
                 *       ],
                 *       "labels": [
                 *         "cat",
                 *         "dog"
                 *       ]
                 *     }
                 */
                "multipart/form-data": {
                    /** @description JPEG, PNG, WebP, HEIC or AVIF */
                    images?: Blob[];
                    /** @description one per image, in the same order; a JSON list where an image may have several */
                    labels?: string[];
                    /**
                     * Format: binary
                     * @description instead of images and labels: a zip with a folder per class
                     */
                    archive?: Blob;
                    /** @description images of none of the classes */
                    negatives?: Blob[];
                    /**
                     * @description as the task's; another one is refused
                     * @enum {unknown}
                     */
                    label_mode?: "single" | "multiple";
                };
                /**
                 * @example {
                 *       "examples": [
                 *         {
                 *           "label": "cat",
                 *           "image": "iVBORw0KGgo…"
                 *         },
                 *         {
                 *           "label": "dog",
                 *           "image": "iVBORw0KGgo…"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["ExamplesBody"];
            };
        };
        responses: {
            /** @description The task in its new version */
            201: {
                headers: {
                    /** @description the task */
                    Location?: string;
                    /** @description `true` on an answer given before to the same Idempotency-Key */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z",
                     *       "quality": {
                     *         "method": "leave-one-out",
                     *         "judged": 10,
                     *         "accuracy": 0.8,
                     *         "interval": [
                     *           0.49,
                     *           0.943
                     *         ],
                     *         "classes": [
                     *           {
                     *             "label": "cat",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 3,
                     *             "accuracy": 0.6,
                     *             "interval": [
                     *               0.231,
                     *               0.882
                     *             ]
                     *           },
                     *           {
                     *             "label": "dog",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 5,
                     *             "accuracy": 1,
                     *             "interval": [
                     *               0.566,
                     *               1
                     *             ]
                     *           }
                     *         ],
                     *         "confusions": [
                     *           {
                     *             "label": "cat",
                     *             "recognised_as": "dog",
                     *             "examples": 2
                     *           }
                     *         ],
                     *         "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *         "forecast": [
                     *           {
                     *             "factor": 2,
                     *             "accuracy": 0.921,
                     *             "interval": [
                     *               0.81,
                     *               0.971
                     *             ]
                     *           },
                     *           {
                     *             "factor": 5,
                     *             "accuracy": 0.939,
                     *             "interval": [
                     *               0.838,
                     *               0.981
                     *             ]
                     *           }
                     *         ],
                     *         "suspects": [
                     *           {
                     *             "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *             "label": "cat",
                     *             "suggested": "dog",
                     *             "confidence": 0.91,
                     *             "file_name": "cat3.jpg"
                     *           }
                     *         ],
                     *         "duplicates": [],
                     *         "reliability": [
                     *           {
                     *             "lowest": 0.6,
                     *             "highest": 0.8,
                     *             "examples": 4,
                     *             "probability": 0.71,
                     *             "accuracy": 0.75
                     *           },
                     *           {
                     *             "lowest": 0.8,
                     *             "highest": 1,
                     *             "examples": 6,
                     *             "probability": 0.88,
                     *             "accuracy": 0.833
                     *           }
                     *         ]
                     *       },
                     *       "timing_ms": {
                     *         "decode": 1.2,
                     *         "embed": 14.5,
                     *         "fit": 1.1,
                     *         "store": 2.3,
                     *         "total": 19.4
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ChangedTaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    remove_v1_tasks__task__examples__example__delete: {
        parameters: {
            query?: {
                /** @description also remove every version that was fitted with it */
                forget?: boolean;
            };
            header?: never;
            path: {
                task: string;
                example: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The task in its new version */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z",
                     *       "quality": {
                     *         "method": "leave-one-out",
                     *         "judged": 10,
                     *         "accuracy": 0.8,
                     *         "interval": [
                     *           0.49,
                     *           0.943
                     *         ],
                     *         "classes": [
                     *           {
                     *             "label": "cat",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 3,
                     *             "accuracy": 0.6,
                     *             "interval": [
                     *               0.231,
                     *               0.882
                     *             ]
                     *           },
                     *           {
                     *             "label": "dog",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 5,
                     *             "accuracy": 1,
                     *             "interval": [
                     *               0.566,
                     *               1
                     *             ]
                     *           }
                     *         ],
                     *         "confusions": [
                     *           {
                     *             "label": "cat",
                     *             "recognised_as": "dog",
                     *             "examples": 2
                     *           }
                     *         ],
                     *         "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *         "forecast": [
                     *           {
                     *             "factor": 2,
                     *             "accuracy": 0.921,
                     *             "interval": [
                     *               0.81,
                     *               0.971
                     *             ]
                     *           },
                     *           {
                     *             "factor": 5,
                     *             "accuracy": 0.939,
                     *             "interval": [
                     *               0.838,
                     *               0.981
                     *             ]
                     *           }
                     *         ],
                     *         "suspects": [
                     *           {
                     *             "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *             "label": "cat",
                     *             "suggested": "dog",
                     *             "confidence": 0.91,
                     *             "file_name": "cat3.jpg"
                     *           }
                     *         ],
                     *         "duplicates": [],
                     *         "reliability": [
                     *           {
                     *             "lowest": 0.6,
                     *             "highest": 0.8,
                     *             "examples": 4,
                     *             "probability": 0.71,
                     *             "accuracy": 0.75
                     *           },
                     *           {
                     *             "lowest": 0.8,
                     *             "highest": 1,
                     *             "examples": 6,
                     *             "probability": 0.88,
                     *             "accuracy": 0.833
                     *           }
                     *         ]
                     *       },
                     *       "timing_ms": {
                     *         "decode": 1.2,
                     *         "embed": 14.5,
                     *         "fit": 1.1,
                     *         "store": 2.3,
                     *         "total": 19.4
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ChangedTaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    relabel_v1_tasks__task__examples__example__patch: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
                example: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "label": "cat"
                 *     }
                 */
                "application/json": components["schemas"]["ExamplePatch"];
            };
        };
        responses: {
            /** @description The task in its new version, or as it is if the example has that label already */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z",
                     *       "quality": {
                     *         "method": "leave-one-out",
                     *         "judged": 10,
                     *         "accuracy": 0.8,
                     *         "interval": [
                     *           0.49,
                     *           0.943
                     *         ],
                     *         "classes": [
                     *           {
                     *             "label": "cat",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 3,
                     *             "accuracy": 0.6,
                     *             "interval": [
                     *               0.231,
                     *               0.882
                     *             ]
                     *           },
                     *           {
                     *             "label": "dog",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 5,
                     *             "accuracy": 1,
                     *             "interval": [
                     *               0.566,
                     *               1
                     *             ]
                     *           }
                     *         ],
                     *         "confusions": [
                     *           {
                     *             "label": "cat",
                     *             "recognised_as": "dog",
                     *             "examples": 2
                     *           }
                     *         ],
                     *         "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *         "forecast": [
                     *           {
                     *             "factor": 2,
                     *             "accuracy": 0.921,
                     *             "interval": [
                     *               0.81,
                     *               0.971
                     *             ]
                     *           },
                     *           {
                     *             "factor": 5,
                     *             "accuracy": 0.939,
                     *             "interval": [
                     *               0.838,
                     *               0.981
                     *             ]
                     *           }
                     *         ],
                     *         "suspects": [
                     *           {
                     *             "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *             "label": "cat",
                     *             "suggested": "dog",
                     *             "confidence": 0.91,
                     *             "file_name": "cat3.jpg"
                     *           }
                     *         ],
                     *         "duplicates": [],
                     *         "reliability": [
                     *           {
                     *             "lowest": 0.6,
                     *             "highest": 0.8,
                     *             "examples": 4,
                     *             "probability": 0.71,
                     *             "accuracy": 0.75
                     *           },
                     *           {
                     *             "lowest": 0.8,
                     *             "highest": 1,
                     *             "examples": 6,
                     *             "probability": 0.88,
                     *             "accuracy": 0.833
                     *           }
                     *         ]
                     *       },
                     *       "timing_ms": {
                     *         "decode": 1.2,
                     *         "embed": 14.5,
                     *         "fit": 1.1,
                     *         "store": 2.3,
                     *         "total": 19.4
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ChangedTaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    example_image_v1_tasks__task__examples__example__image_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
                example: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The image */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "image/jpeg": Blob;
                    "image/png": Blob;
                    "image/webp": Blob;
                    "image/heic": Blob;
                    "image/avif": Blob;
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    archive_v1_tasks__task__archive_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The archive */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/zip": Blob;
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    classifier_v1_tasks__task__classifier_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The classifier */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": Blob;
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    captures_v1_tasks__task__captures_get: {
        parameters: {
            query?: {
                /** @description `unknown` has the likeliest strangers first */
                order?: "most-useful" | "newest" | "unknown";
                /** @description entries per page */
                limit?: number;
                /** @description `next_cursor` of the page before */
                after?: string | null;
            };
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of captures */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "version": 2,
                     *       "captures": [
                     *         {
                     *           "id": "prediction_01kam0c7v3d5f7h9k2m4p6r8t0",
                     *           "created_at": "2026-11-21T09:30:00Z",
                     *           "image": "/v1/tasks/task_01kam0c7v3e9m2q8x5t4r6w1zy/captures/prediction_01kam0c7v3d5f7h9k2m4p6r8t0/image",
                     *           "label": "cat",
                     *           "probability": 0.52,
                     *           "known": true,
                     *           "novelty": 0.3127,
                     *           "nearest": [
                     *             {
                     *               "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *               "label": "cat",
                     *               "similarity": 0.713,
                     *               "image": "/v1/tasks/task_01kam0c7v3e9m2q8x5t4r6w1zy/examples/example_01kam0c7v3q2w8e5r7t9y4u6ia/image",
                     *               "file_name": "cat3.jpg"
                     *             }
                     *           ],
                     *           "answered": {
                     *             "version": 1,
                     *             "label": "dog",
                     *             "probability": 0.47,
                     *             "known": true,
                     *             "novelty": 0.3391
                     *           },
                     *           "alike": []
                     *         }
                     *       ],
                     *       "total": 41,
                     *       "duplicates": 3,
                     *       "other_backbone": 0
                     *     }
                     */
                    "application/json": components["schemas"]["CapturePage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    capture_image_v1_tasks__task__captures__capture__image_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
                capture: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The image */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "image/jpeg": Blob;
                    "image/png": Blob;
                    "image/webp": Blob;
                    "image/heic": Blob;
                    "image/avif": Blob;
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    resolve_captures_v1_tasks__task__captures_resolve_post: {
        parameters: {
            query?: never;
            header?: {
                /** @description up to 255 characters; the same key with the same request within 24 hours gets the first answer again */
                "idempotency-key"?: string | null;
            };
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "decisions": [
                 *         {
                 *           "captures": [
                 *             "prediction_01kam0c7v3d5f7h9k2m4p6r8t0"
                 *           ],
                 *           "label": "cat"
                 *         },
                 *         {
                 *           "captures": [
                 *             "prediction_01kam0c8x4e6g8j0n2q4s6v8y1"
                 *           ],
                 *           "discard": true
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["ResolveBody"];
            };
        };
        responses: {
            /** @description The task in its new version */
            201: {
                headers: {
                    /** @description the task */
                    Location?: string;
                    /** @description `true` on an answer given before to the same Idempotency-Key */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z",
                     *       "quality": {
                     *         "method": "leave-one-out",
                     *         "judged": 10,
                     *         "accuracy": 0.8,
                     *         "interval": [
                     *           0.49,
                     *           0.943
                     *         ],
                     *         "classes": [
                     *           {
                     *             "label": "cat",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 3,
                     *             "accuracy": 0.6,
                     *             "interval": [
                     *               0.231,
                     *               0.882
                     *             ]
                     *           },
                     *           {
                     *             "label": "dog",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 5,
                     *             "accuracy": 1,
                     *             "interval": [
                     *               0.566,
                     *               1
                     *             ]
                     *           }
                     *         ],
                     *         "confusions": [
                     *           {
                     *             "label": "cat",
                     *             "recognised_as": "dog",
                     *             "examples": 2
                     *           }
                     *         ],
                     *         "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *         "forecast": [
                     *           {
                     *             "factor": 2,
                     *             "accuracy": 0.921,
                     *             "interval": [
                     *               0.81,
                     *               0.971
                     *             ]
                     *           },
                     *           {
                     *             "factor": 5,
                     *             "accuracy": 0.939,
                     *             "interval": [
                     *               0.838,
                     *               0.981
                     *             ]
                     *           }
                     *         ],
                     *         "suspects": [
                     *           {
                     *             "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *             "label": "cat",
                     *             "suggested": "dog",
                     *             "confidence": 0.91,
                     *             "file_name": "cat3.jpg"
                     *           }
                     *         ],
                     *         "duplicates": [],
                     *         "reliability": [
                     *           {
                     *             "lowest": 0.6,
                     *             "highest": 0.8,
                     *             "examples": 4,
                     *             "probability": 0.71,
                     *             "accuracy": 0.75
                     *           },
                     *           {
                     *             "lowest": 0.8,
                     *             "highest": 1,
                     *             "examples": 6,
                     *             "probability": 0.88,
                     *             "accuracy": 0.833
                     *           }
                     *         ]
                     *       },
                     *       "timing_ms": {
                     *         "decode": 1.2,
                     *         "embed": 14.5,
                     *         "fit": 1.1,
                     *         "store": 2.3,
                     *         "total": 19.4
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ChangedTaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    correct_v1_tasks__task__corrections_post: {
        parameters: {
            query?: never;
            header?: {
                /** @description up to 255 characters; the same key with the same request within 24 hours gets the first answer again */
                "idempotency-key"?: string | null;
            };
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "prediction": "prediction_01kam0c7v3d5f7h9k2m4p6r8t0",
                 *       "label": "cat"
                 *     }
                 */
                "application/json": components["schemas"]["CorrectionBody"];
            };
        };
        responses: {
            /** @description The task in its new version */
            201: {
                headers: {
                    /** @description the task */
                    Location?: string;
                    /** @description `true` on an answer given before to the same Idempotency-Key */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "name": "pets",
                     *       "version": 1,
                     *       "backbone": "name@1",
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5
                     *         }
                     *       ],
                     *       "negatives": 0,
                     *       "labels": "single",
                     *       "head": {
                     *         "solver": "logistic",
                     *         "C": 3,
                     *         "temperature": 0.33,
                     *         "centre": false
                     *       },
                     *       "capture": {
                     *         "keep": "none",
                     *         "limit": 1000,
                     *         "days": 30
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z",
                     *       "quality": {
                     *         "method": "leave-one-out",
                     *         "judged": 10,
                     *         "accuracy": 0.8,
                     *         "interval": [
                     *           0.49,
                     *           0.943
                     *         ],
                     *         "classes": [
                     *           {
                     *             "label": "cat",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 3,
                     *             "accuracy": 0.6,
                     *             "interval": [
                     *               0.231,
                     *               0.882
                     *             ]
                     *           },
                     *           {
                     *             "label": "dog",
                     *             "examples": 5,
                     *             "judged": 5,
                     *             "recognised": 5,
                     *             "accuracy": 1,
                     *             "interval": [
                     *               0.566,
                     *               1
                     *             ]
                     *           }
                     *         ],
                     *         "confusions": [
                     *           {
                     *             "label": "cat",
                     *             "recognised_as": "dog",
                     *             "examples": 2
                     *           }
                     *         ],
                     *         "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *         "forecast": [
                     *           {
                     *             "factor": 2,
                     *             "accuracy": 0.921,
                     *             "interval": [
                     *               0.81,
                     *               0.971
                     *             ]
                     *           },
                     *           {
                     *             "factor": 5,
                     *             "accuracy": 0.939,
                     *             "interval": [
                     *               0.838,
                     *               0.981
                     *             ]
                     *           }
                     *         ],
                     *         "suspects": [
                     *           {
                     *             "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *             "label": "cat",
                     *             "suggested": "dog",
                     *             "confidence": 0.91,
                     *             "file_name": "cat3.jpg"
                     *           }
                     *         ],
                     *         "duplicates": [],
                     *         "reliability": [
                     *           {
                     *             "lowest": 0.6,
                     *             "highest": 0.8,
                     *             "examples": 4,
                     *             "probability": 0.71,
                     *             "accuracy": 0.75
                     *           },
                     *           {
                     *             "lowest": 0.8,
                     *             "highest": 1,
                     *             "examples": 6,
                     *             "probability": 0.88,
                     *             "accuracy": 0.833
                     *           }
                     *         ]
                     *       },
                     *       "timing_ms": {
                     *         "decode": 1.2,
                     *         "embed": 14.5,
                     *         "fit": 1.1,
                     *         "store": 2.3,
                     *         "total": 19.4
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ChangedTaskReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    quality_v1_tasks__task__quality_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Judged by leave-one-out */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "version": 1,
                     *       "method": "leave-one-out",
                     *       "judged": 10,
                     *       "accuracy": 0.8,
                     *       "interval": [
                     *         0.49,
                     *         0.943
                     *       ],
                     *       "classes": [
                     *         {
                     *           "label": "cat",
                     *           "examples": 5,
                     *           "judged": 5,
                     *           "recognised": 3,
                     *           "accuracy": 0.6,
                     *           "interval": [
                     *             0.231,
                     *             0.882
                     *           ]
                     *         },
                     *         {
                     *           "label": "dog",
                     *           "examples": 5,
                     *           "judged": 5,
                     *           "recognised": 5,
                     *           "accuracy": 1,
                     *           "interval": [
                     *             0.566,
                     *             1
                     *           ]
                     *         }
                     *       ],
                     *       "confusions": [
                     *         {
                     *           "label": "cat",
                     *           "recognised_as": "dog",
                     *           "examples": 2
                     *         }
                     *       ],
                     *       "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and 0 of others for it.",
                     *       "forecast": [
                     *         {
                     *           "factor": 2,
                     *           "accuracy": 0.921,
                     *           "interval": [
                     *             0.81,
                     *             0.971
                     *           ]
                     *         },
                     *         {
                     *           "factor": 5,
                     *           "accuracy": 0.939,
                     *           "interval": [
                     *             0.838,
                     *             0.981
                     *           ]
                     *         }
                     *       ],
                     *       "suspects": [
                     *         {
                     *           "example": "example_01kam0c7v3q2w8e5r7t9y4u6ia",
                     *           "label": "cat",
                     *           "suggested": "dog",
                     *           "confidence": 0.91,
                     *           "file_name": "cat3.jpg"
                     *         }
                     *       ],
                     *       "duplicates": [],
                     *       "reliability": [
                     *         {
                     *           "lowest": 0.6,
                     *           "highest": 0.8,
                     *           "examples": 4,
                     *           "probability": 0.71,
                     *           "accuracy": 0.75
                     *         },
                     *         {
                     *           "lowest": 0.8,
                     *           "highest": 1,
                     *           "examples": 6,
                     *           "probability": 0.88,
                     *           "accuracy": 0.833
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["QualityReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    compare_candidates_v1_tasks__task__compare_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "candidates": [
                 *         {
                 *           "options": {
                 *             "solver": "prototype"
                 *           }
                 *         },
                 *         {
                 *           "backbone": "other@1",
                 *           "options": {
                 *             "C": 10
                 *           }
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["CompareBody"];
            };
        };
        responses: {
            /** @description The active version, then the candidates in the order asked */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "version": 1,
                     *       "candidates": [
                     *         {
                     *           "current": true,
                     *           "backbone": "name@1",
                     *           "head": {
                     *             "solver": "logistic",
                     *             "C": 3,
                     *             "temperature": 0.33,
                     *             "centre": false
                     *           },
                     *           "method": "leave-one-out",
                     *           "judged": 10,
                     *           "recognised": 8,
                     *           "accuracy": 0.8,
                     *           "interval": [
                     *             0.49,
                     *             0.943
                     *           ],
                     *           "log_loss": 0.61,
                     *           "milliseconds": 1.7
                     *         },
                     *         {
                     *           "current": false,
                     *           "backbone": "name@1",
                     *           "head": {
                     *             "solver": "prototype",
                     *             "C": 1,
                     *             "temperature": 0.08,
                     *             "centre": true
                     *           },
                     *           "method": "leave-one-out",
                     *           "judged": 10,
                     *           "recognised": 9,
                     *           "accuracy": 0.9,
                     *           "interval": [
                     *             0.596,
                     *             0.982
                     *           ],
                     *           "log_loss": 0.42,
                     *           "difference": {
                     *             "accuracy": 0.1,
                     *             "interval": [
                     *               -0.202,
                     *               0.4
                     *             ],
                     *             "gained": 1,
                     *             "lost": 0,
                     *             "log_loss": -0.19,
                     *             "log_loss_interval": [
                     *               -0.41,
                     *               0.03
                     *             ]
                     *           },
                     *           "milliseconds": 0.3
                     *         },
                     *         {
                     *           "backbone": "other@1",
                     *           "error": {
                     *             "code": "backbone_not_found",
                     *             "detail": "there is no backbone 'other@1' on this server"
                     *           }
                     *         }
                     *       ],
                     *       "best": 1,
                     *       "advice": "Candidate 1 (prototype, C = 1, name@1) recognised 9 of 10 examples, 1 more than the active version, which may be chance: more examples would tell.",
                     *       "timing_ms": {
                     *         "fit": 2.1,
                     *         "embed": 0.4,
                     *         "total": 3.6
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ComparisonReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_backbones_v1_backbones_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every bundle, and the one new tasks get */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "backbones": [
                     *         {
                     *           "id": "name@1",
                     *           "default": true,
                     *           "open": true,
                     *           "engines": [
                     *             "onnx-int8"
                     *           ],
                     *           "active_tasks": 12,
                     *           "embedding_dim": 512,
                     *           "input": {
                     *             "height": 32,
                     *             "width": 32,
                     *             "resize": "cover",
                     *             "interpolation": "bicubic",
                     *             "colour": "rgb"
                     *           },
                     *           "architecture": "resnet12",
                     *           "dataset": "CIFAR-FS",
                     *           "evaluations": []
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["BackboneList"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    open_backbone_v1_backbones_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "name@1"
                 *     }
                 */
                "application/json": components["schemas"]["BackboneBody"];
            };
        };
        responses: {
            /** @description It was open already */
            200: {
                headers: {
                    /** @description the backbone */
                    Location?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "name@1",
                     *       "default": true,
                     *       "open": true,
                     *       "engines": [
                     *         "onnx-int8"
                     *       ],
                     *       "active_tasks": 12,
                     *       "embedding_dim": 512,
                     *       "input": {
                     *         "height": 32,
                     *         "width": 32,
                     *         "resize": "cover",
                     *         "interpolation": "bicubic",
                     *         "colour": "rgb"
                     *       },
                     *       "architecture": "resnet12",
                     *       "dataset": "CIFAR-FS",
                     *       "evaluations": []
                     *     }
                     */
                    "application/json": components["schemas"]["BackboneReply"];
                };
            };
            /** @description Open: verified, checked and warm */
            201: {
                headers: {
                    /** @description the backbone */
                    Location?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "name@1",
                     *       "default": true,
                     *       "open": true,
                     *       "engines": [
                     *         "onnx-int8"
                     *       ],
                     *       "active_tasks": 12,
                     *       "embedding_dim": 512,
                     *       "input": {
                     *         "height": 32,
                     *         "width": 32,
                     *         "resize": "cover",
                     *         "interpolation": "bicubic",
                     *         "colour": "rgb"
                     *       },
                     *       "architecture": "resnet12",
                     *       "dataset": "CIFAR-FS",
                     *       "evaluations": []
                     *     }
                     */
                    "application/json": components["schemas"]["BackboneReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    show_v1_backbones__backbone__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                backbone: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The backbone */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "name@1",
                     *       "default": true,
                     *       "open": true,
                     *       "engines": [
                     *         "onnx-int8"
                     *       ],
                     *       "active_tasks": 12,
                     *       "embedding_dim": 512,
                     *       "input": {
                     *         "height": 32,
                     *         "width": 32,
                     *         "resize": "cover",
                     *         "interpolation": "bicubic",
                     *         "colour": "rgb"
                     *       },
                     *       "architecture": "resnet12",
                     *       "dataset": "CIFAR-FS",
                     *       "evaluations": []
                     *     }
                     */
                    "application/json": components["schemas"]["BackboneReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    close_v1_backbones__backbone__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                backbone: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Closed; its folder stays */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    change_v1_backbones__backbone__patch: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                backbone: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "default": true
                 *     }
                 */
                "application/json": components["schemas"]["BackbonePatch"];
            };
        };
        responses: {
            /** @description The backbone as it is now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "name@1",
                     *       "default": true,
                     *       "open": true,
                     *       "engines": [
                     *         "onnx-int8"
                     *       ],
                     *       "active_tasks": 12,
                     *       "embedding_dim": 512,
                     *       "input": {
                     *         "height": 32,
                     *         "width": 32,
                     *         "resize": "cover",
                     *         "interpolation": "bicubic",
                     *         "colour": "rgb"
                     *       },
                     *       "architecture": "resnet12",
                     *       "dataset": "CIFAR-FS",
                     *       "evaluations": []
                     *     }
                     */
                    "application/json": components["schemas"]["BackboneReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_refreshes_v1_refreshes_get: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before */
                cursor?: string | null;
                /** @description entries per page */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of refreshes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "refreshes": [
                     *         {
                     *           "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *           "to": "name@2",
                     *           "max_drop": 0.02,
                     *           "state": "running",
                     *           "tasks": {
                     *             "waiting": 120,
                     *             "moved": 371,
                     *             "kept": 7,
                     *             "gone": 1,
                     *             "failed": 1
                     *           },
                     *           "images": {
                     *             "done": 9480,
                     *             "total": 12480
                     *           },
                     *           "images_per_second": 212.4,
                     *           "seconds_left": 14.1,
                     *           "accuracy": {
                     *             "tasks": 378,
                     *             "before": 0.861,
                     *             "after": 0.912
                     *           },
                     *           "created_at": "2026-11-21T09:30:00Z",
                     *           "updated_at": "2026-11-21T09:30:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshPage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    begin_v1_refreshes_post: {
        parameters: {
            query?: never;
            header?: {
                /** @description up to 255 characters; the same key with the same request within 24 hours gets the first answer again */
                "idempotency-key"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "to": "name@2",
                 *       "tasks": "all",
                 *       "max_drop": 0.02
                 *     }
                 */
                "application/json": components["schemas"]["RefreshBody"];
            };
        };
        responses: {
            /** @description The refresh, which the server works on from now on */
            202: {
                headers: {
                    /** @description the refresh */
                    Location?: string;
                    /** @description `true` on an answer given before to the same Idempotency-Key */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *       "to": "name@2",
                     *       "max_drop": 0.02,
                     *       "state": "running",
                     *       "tasks": {
                     *         "waiting": 120,
                     *         "moved": 371,
                     *         "kept": 7,
                     *         "gone": 1,
                     *         "failed": 1
                     *       },
                     *       "images": {
                     *         "done": 9480,
                     *         "total": 12480
                     *       },
                     *       "images_per_second": 212.4,
                     *       "seconds_left": 14.1,
                     *       "accuracy": {
                     *         "tasks": 378,
                     *         "before": 0.861,
                     *         "after": 0.912
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    show_v1_refreshes__refresh__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                refresh: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The refresh */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *       "to": "name@2",
                     *       "max_drop": 0.02,
                     *       "state": "running",
                     *       "tasks": {
                     *         "waiting": 120,
                     *         "moved": 371,
                     *         "kept": 7,
                     *         "gone": 1,
                     *         "failed": 1
                     *       },
                     *       "images": {
                     *         "done": 9480,
                     *         "total": 12480
                     *       },
                     *       "images_per_second": 212.4,
                     *       "seconds_left": 14.1,
                     *       "accuracy": {
                     *         "tasks": 378,
                     *         "before": 0.861,
                     *         "after": 0.912
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_tasks_v1_refreshes__refresh__tasks_get: {
        parameters: {
            query?: {
                /** @description `next_cursor` of the page before */
                cursor?: string | null;
                /** @description entries per page */
                limit?: number;
            };
            header?: never;
            path: {
                refresh: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of tasks */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "tasks": [
                     *         {
                     *           "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *           "outcome": "moved",
                     *           "images": 10,
                     *           "backbone_before": "name@1",
                     *           "versions": {
                     *             "before": 1,
                     *             "after": 2
                     *           },
                     *           "accuracy": {
                     *             "judged_by": "leave-one-out",
                     *             "judged": 10,
                     *             "before": 0.8,
                     *             "after": 0.9
                     *           }
                     *         },
                     *         {
                     *           "task": "task_01kam0h2s8b4d6f1g7j3k5n9pw",
                     *           "outcome": "kept",
                     *           "images": 20,
                     *           "backbone_before": "name@1",
                     *           "versions": {
                     *             "before": 3
                     *           },
                     *           "accuracy": {
                     *             "judged_by": "leave-one-out",
                     *             "judged": 20,
                     *             "before": 0.95,
                     *             "after": 0.9
                     *           },
                     *           "reason": {
                     *             "code": "accuracy_fell",
                     *             "detail": "accuracy would fall from 0.950 to 0.900, by more than 0.02"
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshTaskPage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    pause_v1_refreshes__refresh__pause_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                refresh: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Paused: no task is moved after this answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *       "to": "name@2",
                     *       "max_drop": 0.02,
                     *       "state": "running",
                     *       "tasks": {
                     *         "waiting": 120,
                     *         "moved": 371,
                     *         "kept": 7,
                     *         "gone": 1,
                     *         "failed": 1
                     *       },
                     *       "images": {
                     *         "done": 9480,
                     *         "total": 12480
                     *       },
                     *       "images_per_second": 212.4,
                     *       "seconds_left": 14.1,
                     *       "accuracy": {
                     *         "tasks": 378,
                     *         "before": 0.861,
                     *         "after": 0.912
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    resume_v1_refreshes__refresh__resume_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                refresh: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Running */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *       "to": "name@2",
                     *       "max_drop": 0.02,
                     *       "state": "running",
                     *       "tasks": {
                     *         "waiting": 120,
                     *         "moved": 371,
                     *         "kept": 7,
                     *         "gone": 1,
                     *         "failed": 1
                     *       },
                     *       "images": {
                     *         "done": 9480,
                     *         "total": 12480
                     *       },
                     *       "images_per_second": 212.4,
                     *       "seconds_left": 14.1,
                     *       "accuracy": {
                     *         "tasks": 378,
                     *         "before": 0.861,
                     *         "after": 0.912
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    cancel_v1_refreshes__refresh__cancel_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                refresh: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Cancelled: no task is moved after this answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *       "to": "name@2",
                     *       "max_drop": 0.02,
                     *       "state": "running",
                     *       "tasks": {
                     *         "waiting": 120,
                     *         "moved": 371,
                     *         "kept": 7,
                     *         "gone": 1,
                     *         "failed": 1
                     *       },
                     *       "images": {
                     *         "done": 9480,
                     *         "total": 12480
                     *       },
                     *       "images_per_second": 212.4,
                     *       "seconds_left": 14.1,
                     *       "accuracy": {
                     *         "tasks": 378,
                     *         "before": 0.861,
                     *         "after": 0.912
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    roll_back_v1_refreshes__refresh__rollback_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                refresh: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The refresh, which is being rolled back from now on */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
                     *       "to": "name@2",
                     *       "max_drop": 0.02,
                     *       "state": "running",
                     *       "tasks": {
                     *         "waiting": 120,
                     *         "moved": 371,
                     *         "kept": 7,
                     *         "gone": 1,
                     *         "failed": 1
                     *       },
                     *       "images": {
                     *         "done": 9480,
                     *         "total": 12480
                     *       },
                     *       "images_per_second": 212.4,
                     *       "seconds_left": 14.1,
                     *       "accuracy": {
                     *         "tasks": 378,
                     *         "before": 0.861,
                     *         "after": 0.912
                     *       },
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "updated_at": "2026-11-21T09:30:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["RefreshReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    events_v1_events_get: {
        parameters: {
            query?: {
                /** @description `next` of the answer before; left out, from the oldest there is; `latest`, no events but a `next` */
                after?: string | null;
                /** @description most events of the answer */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "events": [
                     *         {
                     *           "id": "event_17-3f9c2a1b",
                     *           "type": "version_created",
                     *           "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *           "created_at": "2026-11-21T09:30:00Z",
                     *           "version": 2,
                     *           "version_before": 1,
                     *           "change": "added",
                     *           "accuracy": 0.8
                     *         },
                     *         {
                     *           "id": "event_18-80d4e6f7",
                     *           "type": "quality_fell",
                     *           "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *           "created_at": "2026-11-21T09:30:00Z",
                     *           "version": 2,
                     *           "version_before": 1,
                     *           "accuracy": 0.8,
                     *           "accuracy_before": 0.9
                     *         }
                     *       ],
                     *       "next": "event_18-80d4e6f7",
                     *       "missed": false
                     *     }
                     */
                    "application/json": components["schemas"]["EventPage"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    limits_v1_limits_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limits */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "body_bytes": 64000000,
                     *       "image_bytes": 30000000,
                     *       "image_pixels": 25000000,
                     *       "images": 256,
                     *       "new_examples": 1024,
                     *       "classes": 1000,
                     *       "examples": 20000,
                     *       "quotas": [
                     *         {
                     *           "quota": "images",
                     *           "of": "tenant",
                     *           "limit": 600,
                     *           "used": 588,
                     *           "seconds": 60
                     *         },
                     *         {
                     *           "quota": "tasks",
                     *           "of": "tenant",
                     *           "limit": 100,
                     *           "used": 3
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Limits"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    own_v1_key_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Whose it is, and what it allows */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "required": true,
                     *       "id": "0123456789ab",
                     *       "tenant": "default",
                     *       "scope": "predict"
                     *     }
                     */
                    "application/json": components["schemas"]["OwnKeyReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_keys_v1_keys_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every key, also those that are not valid any more */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "keys": [
                     *         {
                     *           "id": "0123456789ab",
                     *           "tenant": "default",
                     *           "scope": "predict",
                     *           "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *           "created_at": "2026-11-21T09:30:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["KeyList"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    create_v1_keys_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "scope": "predict",
                 *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                 *       "expires_in": 7776000
                 *     }
                 */
                "application/json": components["schemas"]["KeyBody"];
            };
        };
        responses: {
            /** @description The key, this once */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "0123456789ab",
                     *       "tenant": "default",
                     *       "scope": "predict",
                     *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "token": "hs_0123456789ab_0000000000000000000000000000000000000000000000000000000000000000_5a1f09c3"
                     *     }
                     */
                    "application/json": components["schemas"]["NewKeyReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    rotate_v1_keys__key__rotate_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                key: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "expires_in": 3600
                 *     }
                 */
                "application/json": components["schemas"]["RotateBody"];
            };
        };
        responses: {
            /** @description The new key, this once */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "0123456789ab",
                     *       "tenant": "default",
                     *       "scope": "predict",
                     *       "task": "task_01kam0c7v3e9m2q8x5t4r6w1zy",
                     *       "created_at": "2026-11-21T09:30:00Z",
                     *       "token": "hs_0123456789ab_0000000000000000000000000000000000000000000000000000000000000000_5a1f09c3"
                     *     }
                     */
                    "application/json": components["schemas"]["NewKeyReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    revoke_v1_keys__key__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                key: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Revoked; it stays in the list */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    alive_healthz_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The process answers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ready",
                     *       "checks": {
                     *         "engine": "ok",
                     *         "store": "ok",
                     *         "bundles": "ok"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    ready_readyz_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ready */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ready",
                     *       "checks": {
                     *         "engine": "ok",
                     *         "store": "ok",
                     *         "bundles": "ok"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    metrics_metrics_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description In its text format */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /** @example headstart_active_heads 3.0 */
                    "text/plain": unknown;
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    classify_v1_tasks__task__hf_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                task: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "inputs": "iVBORw0KGgo…",
                 *       "parameters": {
                 *         "top_k": 3
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["PipelineBody"];
                /** @example (bytes of the image) */
                "image/jpeg": Blob;
                /** @example (bytes of the image) */
                "image/png": Blob;
                /** @example (bytes of the image) */
                "image/webp": Blob;
                /** @example (bytes of the image) */
                "image/heic": Blob;
                /** @example (bytes of the image) */
                "image/avif": Blob;
                /** @example (bytes of the image) */
                "image/heif": Blob;
                /** @example (bytes of the image) */
                "image/jpg": Blob;
                /** @example (bytes of the image) */
                "application/octet-stream": Blob;
            };
        };
        responses: {
            /** @description Labels with their probabilities, the most probable first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "label": "cat",
                     *         "score": 0.93
                     *       },
                     *       {
                     *         "label": "dog",
                     *         "score": 0.07
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["PipelineReply"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    classify_customvision_v3_0_Prediction__task__classify_iterations__iteration__image_post: {
        parameters: {
            query?: {
                /** @description taken, and not used: Custom Vision's clients may name themselves */
                application?: string | null;
            };
            header?: never;
            path: {
                task: string;
                iteration: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "imageData": "(bytes of cat1.jpg)"
                 *     }
                 */
                "multipart/form-data": {
                    /** Format: binary */
                    imageData: Blob;
                };
                /** @example (bytes of the image) */
                "image/jpeg": Blob;
                /** @example (bytes of the image) */
                "image/png": Blob;
                /** @example (bytes of the image) */
                "image/webp": Blob;
                /** @example (bytes of the image) */
                "image/heic": Blob;
                /** @example (bytes of the image) */
                "image/avif": Blob;
                /** @example (bytes of the image) */
                "image/heif": Blob;
                /** @example (bytes of the image) */
                "image/jpg": Blob;
                /** @example (bytes of the image) */
                "application/octet-stream": Blob;
            };
        };
        responses: {
            /** @description The labels with their probabilities, the most probable first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "5f2c1c04-6f0e-4a44-9d62-5b8a6a3f4f0c",
                     *       "project": "019aa806-1f63-7268-2ba3-a5d1306e07fe",
                     *       "iteration": "c6a9a0d6-3b1e-5b0e-8f61-3a7c4c4f0b52",
                     *       "created": "2026-11-21T09:30:00.123456Z",
                     *       "predictions": [
                     *         {
                     *           "probability": 0.93,
                     *           "tagId": "0f9d6c7e-7d0a-5d0e-9a55-2f1f6f3f5d11",
                     *           "tagName": "cat"
                     *         },
                     *         {
                     *           "probability": 0.07,
                     *           "tagId": "b1f0e6a2-4c3b-5f7d-8e21-6a9d0c5b7e33",
                     *           "tagName": "dog"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ImagePrediction"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    classify_without_capture_customvision_v3_0_Prediction__task__classify_iterations__iteration__image_nostore_post: {
        parameters: {
            query?: {
                /** @description taken, and not used: Custom Vision's clients may name themselves */
                application?: string | null;
            };
            header?: never;
            path: {
                task: string;
                iteration: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "imageData": "(bytes of cat1.jpg)"
                 *     }
                 */
                "multipart/form-data": {
                    /** Format: binary */
                    imageData: Blob;
                };
                /** @example (bytes of the image) */
                "image/jpeg": Blob;
                /** @example (bytes of the image) */
                "image/png": Blob;
                /** @example (bytes of the image) */
                "image/webp": Blob;
                /** @example (bytes of the image) */
                "image/heic": Blob;
                /** @example (bytes of the image) */
                "image/avif": Blob;
                /** @example (bytes of the image) */
                "image/heif": Blob;
                /** @example (bytes of the image) */
                "image/jpg": Blob;
                /** @example (bytes of the image) */
                "application/octet-stream": Blob;
            };
        };
        responses: {
            /** @description The labels with their probabilities, the most probable first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "5f2c1c04-6f0e-4a44-9d62-5b8a6a3f4f0c",
                     *       "project": "019aa806-1f63-7268-2ba3-a5d1306e07fe",
                     *       "iteration": "c6a9a0d6-3b1e-5b0e-8f61-3a7c4c4f0b52",
                     *       "created": "2026-11-21T09:30:00.123456Z",
                     *       "predictions": [
                     *         {
                     *           "probability": 0.93,
                     *           "tagId": "0f9d6c7e-7d0a-5d0e-9a55-2f1f6f3f5d11",
                     *           "tagName": "cat"
                     *         },
                     *         {
                     *           "probability": 0.07,
                     *           "tagId": "b1f0e6a2-4c3b-5f7d-8e21-6a9d0c5b7e33",
                     *           "tagName": "dog"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ImagePrediction"];
                };
            };
            /** @description A refusal */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
