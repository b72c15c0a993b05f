(** What each operation may change, and that it changes nothing else. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.

(** The places of a state. [events] is none: it is the present step's answer. *)
Inductive location :=
| AtValue (v : value_id)
| AtVariable (v : variable_id)      (** all but its cache *)
| AtCache (v : variable_id)
| AtToken (id : token_id)
| AtMap (c : N)
| AtEntered (c : N)
| AtNameOf (c : N)                  (** the name that watchers are told *)
| AtName (name : context_id)
| AtNext                            (** the number of the next context *)
| AtIterator (i : iterator_id)
| AtReference (r : reference_id)
| AtThread (th : thread_id)         (** whether it is, and lives *)
| AtStack (th : thread_id)
| AtBase (th : thread_id)
| AtVer (th : thread_id)
| AtFrames (th : thread_id)
| AtWatchers.

Section frame.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (c : N).

  Definition but_cache (x : variable) := (var_name x, var_default x, var_hash x, var_held x).

  (** Two states agree on a place. *)
  Definition same (l : location) s s' : Prop :=
    match l with
    | AtValue v => values s' !! v = values s !! v
    | AtVariable v => but_cache <$> variables s' !! v = but_cache <$> variables s !! v
    | AtCache v => var_cache <$> variables s' !! v = var_cache <$> variables s !! v
    | AtToken id => tokens s' !! id = tokens s !! id
    | AtMap c => ctx_map (context_of s' c) = ctx_map (context_of s c)
    | AtEntered c => ctx_entered (context_of s' c) = ctx_entered (context_of s c)
    | AtNameOf c => ctx_name (context_of s' c) = ctx_name (context_of s c)
    | AtName n => names s' !! n = names s !! n
    | AtNext => next_context s' = next_context s
    | AtIterator i => iterators s' !! i = iterators s !! i
    | AtReference r => references s' !! r = references s !! r
    | AtThread th => th_live <$> threads s' !! th = th_live <$> threads s !! th
    | AtStack th => th_stack (thread_of s' th) = th_stack (thread_of s th)
    | AtBase th => th_base (thread_of s' th) = th_base (thread_of s th)
    | AtVer th => th_ver (thread_of s' th) = th_ver (thread_of s th) /\
                  th_switches (thread_of s' th) = th_switches (thread_of s th)
    | AtFrames th => th_frames (thread_of s' th) = th_frames (thread_of s th)
    | AtWatchers => watchers s' = watchers s
    end.

  (** All places but those of the footprint are left alone. *)
  Definition changes (footprint : list location) s s' : Prop :=
    forall l, l ∉ footprint -> same l s s'.

  Lemma same_refl l s : same l s s.
  Proof. destruct l; cbn; auto. Qed.

  Lemma same_trans l s s' s'' : same l s s' -> same l s' s'' -> same l s s''.
  Proof. destruct l; cbn; try congruence. intros [? ?] [? ?]. split; congruence. Qed.

  Lemma changes_nothing s : changes [] s s.
  Proof. intros l _. apply same_refl. Qed.

  Lemma changes_more f g s s' : changes f s s' -> f ⊆ g -> changes g s s'.
  Proof. intros C S l Hl. apply C. intros Hf. apply Hl, S, Hf. Qed.

  Lemma changes_refl f s : changes f s s.
  Proof. intros l _. apply same_refl. Qed.

  Lemma changes_trans f g s s' s'' : changes f s s' -> changes g s' s'' -> changes (f ++ g) s s''.
  Proof.
    intros C D l Hl. rewrite not_elem_of_app in Hl. eapply same_trans; [apply C | apply D]; tauto.
  Qed.

  Lemma changes_in f g s s' s'' : changes f s s' -> f ⊆ g -> changes g s' s'' -> changes g s s''.
  Proof.
    intros C S D l Hl. eapply same_trans; [apply C | apply D, Hl]. intros Hf. apply Hl, S, Hf.
  Qed.

  (** ** The setters *)

  Lemma thread_of_put s th t th' :
    thread_of (put_thread th t s) th' = if decide (th = th') then t else thread_of s th'.
  Proof.
    unfold thread_of. cbn. destruct (decide (th = th')) as [-> | Hne].
    - rewrite lookup_insert. reflexivity.
    - rewrite lookup_insert_ne by exact Hne. reflexivity.
  Qed.

  Lemma context_of_put s c x d :
    context_of (put_context c x s) d = if decide (c = d) then x else context_of s d.
  Proof.
    unfold context_of. cbn. destruct (decide (c = d)) as [-> | Hne].
    - rewrite lookup_insert. reflexivity.
    - rewrite lookup_insert_ne by exact Hne. reflexivity.
  Qed.

  Ltac here := match goal with Hl : _ ∉ _ |- _ => exfalso; apply Hl; rewrite ?elem_of_cons; auto end.

  Lemma changes_insert {A} (m : gmap N A) i x j (P : Prop) : (i = j -> P) -> ~ P -> <[i := x]> m !! j = m !! j.
  Proof. intros HP HnP. apply lookup_insert_ne. intros E. apply HnP, HP, E. Qed.

  Lemma in_this {A} (x y : A) : x = y -> x ∈ [y].
  Proof. intros ->. left. Qed.

  Lemma changes_values f v s : (forall w, w <> v -> f (values s) !! w = values s !! w) ->
    changes [AtValue v] s (set_values f s).
  Proof.
    intros Hf l Hl. destruct l; cbn; auto. apply Hf. intros ->. apply Hl. left.
  Qed.

  Lemma changes_token f id s : (forall j, j <> id -> f (tokens s) !! j = tokens s !! j) ->
    changes [AtToken id] s (set_tokens f s).
  Proof. intros Hf l Hl. destruct l; cbn; auto. apply Hf. intros ->. apply Hl. left. Qed.

  Lemma changes_variables f v s : (forall w, w <> v -> f (variables s) !! w = variables s !! w) ->
    changes [AtVariable v; AtCache v] s (set_variables f s).
  Proof.
    intros Hf l Hl. destruct l; cbn; auto; rewrite Hf; auto; intros ->; apply Hl; rewrite !elem_of_cons; auto.
  Qed.

  Lemma changes_cache v x s : changes [AtCache v] s (set_cache v x s).
  Proof.
    intros l Hl. unfold set_cache. destruct (variables s !! v) as [y|] eqn:E; [|apply same_refl].
    destruct l; cbn; auto.
    - destruct (decide (v = v0)) as [-> | Hne]; [rewrite lookup_insert, E; reflexivity | rewrite lookup_insert_ne by exact Hne; reflexivity].
    - rewrite lookup_insert_ne; [reflexivity|]. intros ->. apply Hl. left.
  Qed.

  Lemma changes_names f n s : (forall m, m <> n -> f (names s) !! m = names s !! m) ->
    changes [AtName n] s (set_names f s).
  Proof. intros Hf l Hl. destruct l; cbn; auto. apply Hf. intros ->. apply Hl. left. Qed.

  Lemma changes_iterators f i s : (forall m, m <> i -> f (iterators s) !! m = iterators s !! m) ->
    changes [AtIterator i] s (set_iterators f s).
  Proof. intros Hf l Hl. destruct l; cbn; auto. apply Hf. intros ->. apply Hl. left. Qed.

  Lemma changes_references f r s : (forall m, m <> r -> f (references s) !! m = references s !! m) ->
    changes [AtReference r] s (set_references f s).
  Proof. intros Hf l Hl. destruct l; cbn; auto. apply Hf. intros ->. apply Hl. left. Qed.

  Lemma changes_events e s : changes [] s (set_events e s).
  Proof. intros l _. destruct l; cbn; auto. Qed.

  Lemma changes_watchers w s : changes [AtWatchers] s (set_watchers w s).
  Proof. intros l Hl. destruct l; cbn; auto. exfalso. apply Hl. left. Qed.

  Lemma changes_context c x s (f : list location) :
    (AtMap c ∈ f \/ ctx_map x = ctx_map (context_of s c)) ->
    (AtEntered c ∈ f \/ ctx_entered x = ctx_entered (context_of s c)) ->
    (AtNameOf c ∈ f \/ ctx_name x = ctx_name (context_of s c)) ->
    changes f s (put_context c x s).
  Proof.
    intros Hm He Hn l Hl. destruct l; cbn [same]; auto; rewrite ?context_of_put; cbn; auto;
      destruct (decide (c = c0)) as [<- |]; auto; tauto.
  Qed.

  Lemma changes_next n s : changes [AtNext] s (set_next_context n s).
  Proof. intros l Hl. destruct l; cbn; auto. exfalso. apply Hl. left. Qed.

  (** A thread's record: each part is as it was or in the footprint. *)
  Lemma changes_thread th t s (f : list location) :
    (AtThread th ∈ f \/ th_live <$> threads s !! th = Some (th_live t)) ->
    (AtStack th ∈ f \/ th_stack t = th_stack (thread_of s th)) ->
    (AtBase th ∈ f \/ th_base t = th_base (thread_of s th)) ->
    (AtVer th ∈ f \/ (th_ver t = th_ver (thread_of s th) /\ th_switches t = th_switches (thread_of s th))) ->
    (AtFrames th ∈ f \/ th_frames t = th_frames (thread_of s th)) ->
    changes f s (put_thread th t s).
  Proof.
    intros Hl1 Hs Hb Hv Hf l Hl. destruct l; cbn [same]; auto; rewrite ?thread_of_put;
      try (destruct (decide (th = th0)) as [<- |]; auto; tauto).
    cbn. destruct (decide (th = th0)) as [<- | Hne].
    - rewrite lookup_insert. destruct Hl1 as [? | ->]; [tauto | reflexivity].
    - rewrite lookup_insert_ne by exact Hne. reflexivity.
  Qed.

  (** ** The parts of operations *)

  Definition is_thread s th : Prop := th_live <$> threads s !! th = Some true.

  Lemma live_thread s th : is_thread s th -> th_live <$> threads s !! th = Some (th_live (thread_of s th)).
  Proof.
    unfold is_thread, thread_of. destruct (threads s !! th); cbn; [reflexivity | discriminate].
  Qed.

  Definition new_fp s : list location :=
    [AtNext; AtMap (next_context s); AtEntered (next_context s); AtNameOf (next_context s)].

  Lemma changes_add x s : changes (new_fp s) s (add_context x s).
  Proof.
    unfold add_context. eapply changes_in; [apply changes_context | |].
    4: reflexivity. 1-3: left; unfold new_fp; rewrite !elem_of_cons; auto.
    eapply changes_more; [apply changes_next|]. unfold new_fp. intros l. rewrite !elem_of_cons. tauto.
  Qed.

  Definition named_fp name s : list location := AtName name :: new_fp s.

  Lemma changes_name name m s : changes (named_fp name s) s (name_context name m s).
  Proof.
    unfold name_context. eapply changes_in; [apply changes_add | unfold named_fp; set_solver |].
    eapply changes_more; [apply (changes_names _ name); intros; apply lookup_insert_ne; congruence|].
    unfold named_fp. set_solver.
  Qed.

  (** What is current in a thread, or its base to be. *)
  Definition current_of th s : N := default (next_context s) (current (thread_of s th)).

  Definition base_fp th s : list location :=
    match current (thread_of s th) with Some _ => [] | None => AtBase th :: new_fp s end.

  Lemma current_or_base_current th s : (current_or_base th s).2 = current_of th s.
  Proof. unfold current_or_base, current_of. destruct (current (thread_of s th)); reflexivity. Qed.

  Lemma changes_base th s : is_thread s th -> changes (base_fp th s) s (current_or_base th s).1.
  Proof.
    intros L. unfold current_or_base, base_fp.
    destruct (current (thread_of s th)); [apply changes_nothing|]. cbn [fst].
    eapply changes_in; [apply (changes_add new_context) | set_solver |].
    apply changes_thread; cbn [th_live th_stack th_base th_ver th_switches th_frames].
    - right. exact (live_thread (add_context new_context s) th L).
    - right. reflexivity.
    - left. left.
    - right. split; reflexivity.
    - right. reflexivity.
  Qed.

  Lemma is_thread_base th th' s : is_thread s th -> is_thread (current_or_base th' s).1 th.
  Proof.
    unfold is_thread, current_or_base. destruct (current (thread_of s th')); [trivial|]. cbn.
    destruct (decide (th' = th)) as [-> | Hne].
    - rewrite lookup_insert. unfold thread_of. destruct (threads s !! th); cbn; [trivial | discriminate].
    - rewrite lookup_insert_ne by exact Hne. trivial.
  Qed.

  Lemma changes_set_map c m s : changes [AtMap c] s (set_map c m s).
  Proof. unfold set_map. apply changes_context; [left; left | right; reflexivity ..]. Qed.

  Lemma changes_bind th c v x b s : changes [AtMap c; AtCache v] s (bind th c v x b s).
  Proof.
    unfold bind, fill_cache.
    eapply changes_in; [apply (changes_set_map c (assoc (key_of v x) b (ctx_map (context_of s c)))) | set_solver |].
    eapply changes_more; [apply changes_cache | set_solver].
  Qed.

  Lemma changes_unbind c v x s : changes [AtMap c; AtCache v] s (unbind c v x s).
  Proof.
    unfold unbind.
    eapply changes_in; [apply (changes_set_map c (without (key_of v x) (ctx_map (context_of s c)))) | set_solver |].
    eapply changes_more; [apply changes_cache | set_solver].
  Qed.

  Lemma changes_get th v d s : changes [AtCache v] s (get through_cache th v d s).1.
  Proof.
    unfold get. destruct (held_variable s v); [|apply changes_refl].
    destruct (lookup _ _ _ _ _); [apply changes_cache | apply changes_refl].
  Qed.

  Definition set_fp th v id s : list location :=
    base_fp th s ++ [AtToken id; AtMap (current_of th s); AtCache v].

  Lemma changes_set th v b id s : is_thread s th -> changes (set_fp th v id s) s (set th v b id s).1.
  Proof.
    intros L. unfold set, set_fp. destruct (held_variable s v) as [x|]; [|apply changes_refl].
    destruct (_ || _); [apply changes_refl|].
    pose proof (changes_base th s L) as C. rewrite <- (current_or_base_current th s).
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *.
    apply changes_trans with s'; [exact C|].
    set (t := MkToken _ _ _ _ _).
    eapply changes_in; [apply (changes_token (insert id t) id); intros; apply lookup_insert_ne; congruence | set_solver |].
    eapply changes_more; [apply changes_bind | set_solver].
  Qed.

  Definition reset_fp th id s : list location :=
    match tokens s !! id with
    | Some t => base_fp th s ++ [AtToken id; AtMap (current_of th s); AtCache (tok_variable t)]
    | None => []
    end.

  Lemma changes_reset th v id t s : is_thread s th -> tokens s !! id = Some t ->
    changes (reset_fp th id s) s (reset th v id t s).1.
  Proof.
    intros L Ht. unfold reset, reset_fp. rewrite Ht. destruct (tok_used t); [apply changes_refl|].
    destruct (N.eqb_spec (tok_variable t) v) as [<- |]; cbn [negb]; [|apply changes_refl].
    pose proof (changes_base th s L) as C. rewrite <- (current_or_base_current th s).
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *.
    destruct (negb (tok_context t =? c)); [eapply changes_more; [exact C | set_solver]|].
    destruct (variables s' !! tok_variable t) as [x|]; [|eapply changes_more; [exact C | set_solver]].
    apply changes_trans with s'; [exact C|].
    assert (changes [AtToken id] s' (use id t s')) as U.
    { apply changes_token. intros. apply lookup_insert_ne. congruence. }
    destruct (tok_old t).
    - eapply changes_in; [exact U | set_solver |]. eapply changes_more; [apply changes_bind | set_solver].
    - destruct (present _).
      + eapply changes_in; [exact U | set_solver |]. eapply changes_more; [apply changes_unbind | set_solver].
      + eapply changes_more; [exact U | set_solver].
  Qed.

  Lemma held_token_some s id t : held_token s id = Some t -> tokens s !! id = Some t.
  Proof. unfold held_token. destruct (tokens s !! id) as [x|]; [destruct (tok_held x)|]; congruence. Qed.

  Lemma changes_reset_held th v id t s : is_thread s th -> held_token s id = Some t ->
    changes (reset_fp th id s) s (reset th v id t s).1.
  Proof. intros L Ht. apply changes_reset, held_token_some; assumption. Qed.

  Lemma changes_tell (o : option N) s : changes [] s (tell o s).
  Proof. apply changes_events. Qed.

  Lemma changes_switch th stack s : is_thread s th -> changes [AtStack th; AtVer th] s (switch th stack s).
  Proof.
    intros L. unfold switch. eapply changes_in; [|reflexivity | eapply changes_more; [apply changes_tell | set_solver]].
    apply changes_thread; cbn [th_live th_stack th_base th_ver th_switches th_frames].
    - right. apply live_thread, L.
    - left. left.
    - right. reflexivity.
    - left. set_solver.
    - right. reflexivity.
  Qed.

  Lemma is_thread_switch th th' stack s : is_thread s th -> is_thread (switch th' stack s) th.
  Proof.
    unfold is_thread. cbn. destruct (decide (th' = th)) as [-> | Hne].
    - rewrite lookup_insert. unfold thread_of. destruct (threads s !! th); cbn; [trivial | discriminate].
    - rewrite lookup_insert_ne by exact Hne. trivial.
  Qed.

  Lemma changes_entered c b s : changes [AtEntered c] s (set_entered c b s).
  Proof. unfold set_entered. apply changes_context; [right | left; left | right]; reflexivity. Qed.

  Definition enter_fp th c : list location := [AtStack th; AtVer th; AtEntered c].

  Lemma changes_enter th c name s : is_thread s th -> changes (enter_fp th c) s (enter th c name s).1.
  Proof.
    intros L. unfold enter. destruct (ctx_entered _); [apply changes_refl|]. cbn [fst].
    eapply changes_in; [apply (changes_entered c true) | unfold enter_fp; set_solver |].
    eapply changes_more; [apply changes_switch; exact L | unfold enter_fp; set_solver].
  Qed.

  Lemma is_thread_enter th th' c name s : is_thread s th -> is_thread (enter th' c name s).1 th.
  Proof.
    intros L. unfold enter. destruct (ctx_entered _); [exact L|]. apply is_thread_switch, L.
  Qed.

  Lemma changes_exit th c name s : is_thread s th -> changes (enter_fp th c) s (exit th c name s).1.
  Proof.
    intros L. unfold exit. destruct (negb _); [apply changes_refl|]. destruct (negb _); [apply changes_refl|]. cbn [fst].
    eapply changes_in; [apply (changes_entered c false) | unfold enter_fp; set_solver |].
    eapply changes_more; [apply changes_switch; exact L | unfold enter_fp; set_solver].
  Qed.

  Lemma is_thread_exit th th' c name s : is_thread s th -> is_thread (exit th' c name s).1 th.
  Proof.
    intros L. unfold exit. destruct (negb _); [exact L|]. destruct (negb _); [exact L|]. apply is_thread_switch, L.
  Qed.

  Lemma changes_frames th frames s : is_thread s th -> changes [AtFrames th] s (set_frames th frames s).
  Proof.
    intros L. apply changes_thread; cbn [th_live th_stack th_base th_ver th_switches th_frames];
      [right; apply live_thread, L | right; auto | right; auto | right; auto | left; left].
  Qed.

  Lemma is_thread_frames th th' frames s : is_thread s th -> is_thread (set_frames th' frames s) th.
  Proof.
    unfold is_thread. cbn. destruct (decide (th' = th)) as [-> | Hne].
    - rewrite lookup_insert. unfold thread_of. destruct (threads s !! th); cbn; [trivial | discriminate].
    - rewrite lookup_insert_ne by exact Hne. trivial.
  Qed.

  Definition run_fp th c : list location := AtFrames th :: enter_fp th c.

  Lemma changes_run_begin th name c s : is_thread s th -> names s !! name = Some c ->
    changes (run_fp th c) s (run_begin th name s).1.
  Proof.
    intros L Hn. unfold run_begin. rewrite Hn. pose proof (changes_enter th c name s L) as C.
    pose proof (is_thread_enter th th c name s L) as L'.
    destruct (enter th c name s) as [s' [e|]]; cbn [fst] in *; [eapply changes_more; [exact C | unfold run_fp; set_solver]|].
    eapply changes_in; [exact C | unfold run_fp; set_solver |].
    eapply changes_more; [apply changes_frames, L' | unfold run_fp; set_solver].
  Qed.

  Definition return_fp th s : list location :=
    match th_frames (thread_of s th) with (c, _) :: _ => run_fp th c | [] => [] end.

  Lemma changes_run_end th r s : is_thread s th -> changes (return_fp th s) s (run_end th r s).1.
  Proof.
    intros L. unfold run_end, return_fp. destruct (th_frames (thread_of s th)) as [|[c name] frames]; [apply changes_refl|].
    pose proof (changes_exit th c name _ (is_thread_frames th th frames s L)) as C.
    destruct (exit th c name (set_frames th frames s)) as [s' [e|]]; cbn [fst] in *;
      (eapply changes_in; [apply changes_frames, L | unfold run_fp; set_solver |
        eapply changes_more; [exact C | unfold run_fp; set_solver]]).
  Qed.

  Lemma is_thread_run_end th th' r s : is_thread s th -> is_thread (run_end th' r s).1 th.
  Proof.
    intros L. unfold run_end. destruct (th_frames (thread_of s th')) as [|[c name] frames]; [exact L|].
    pose proof (is_thread_exit th th' c name _ (is_thread_frames th th' frames s L)) as L'.
    destruct (exit th' c name (set_frames th' frames s)) as [s' [e|]]; exact L'.
  Qed.

  (** What [run_end] does to the frames, whatever the exit answers. *)
  Lemma frames_run_end th r s : th_frames (thread_of (run_end th r s).1 th) = tail (th_frames (thread_of s th)).
  Proof.
    unfold run_end. destruct (th_frames (thread_of s th)) as [|[c name] frames] eqn:E; [cbn; rewrite E; reflexivity|].
    unfold exit. destruct (negb _); [|destruct (negb _)]; cbn [fst tail].
    - unfold set_frames. rewrite thread_of_put, decide_True by reflexivity. reflexivity.
    - unfold set_frames. rewrite thread_of_put, decide_True by reflexivity. reflexivity.
    - unfold switch, tell, thread_of. cbn. rewrite !lookup_insert. reflexivity.
  Qed.

  Definition unwind_fp th (frames : list (N * context_id)) : list location :=
    AtStack th :: AtVer th :: AtFrames th :: map (fun f => AtEntered f.1) frames.

  Lemma changes_unwind th : forall frames s, is_thread s th -> th_frames (thread_of s th) = frames ->
    changes (unwind_fp th frames) s (unwind frames th s) /\ is_thread (unwind frames th s) th.
  Proof.
    induction frames as [|[c name] frames IH]; intros s L E; [split; [apply changes_refl | exact L]|]. cbn [unwind].
    pose proof (changes_run_end th Done s L) as C. unfold return_fp in C. rewrite E in C.
    destruct (IH (run_end th Done s).1) as [C' L'].
    - apply is_thread_run_end, L.
    - rewrite frames_run_end, E. reflexivity.
    - split; [|exact L']. eapply changes_in; [exact C | |].
      + unfold run_fp, enter_fp, unwind_fp. cbn [map]. set_solver.
      + eapply changes_more; [exact C'|]. unfold unwind_fp. cbn [map]. set_solver.
  Qed.

  Definition end_fp th s : list location := AtThread th :: unwind_fp th (th_frames (thread_of s th)).

  Lemma changes_end_thread th s : is_thread s th -> changes (end_fp th s) s (end_thread th s).1.
  Proof.
    intros L. unfold end_thread, end_fp. destruct (changes_unwind th _ s L eq_refl) as [C L']. cbn [fst].
    eapply changes_in; [exact C | set_solver |].
    apply changes_thread; cbn [th_live th_stack th_base th_ver th_switches th_frames];
      [left; left | right; auto ..].
  Qed.

  Definition probe_fp th s : list location := AtStack th :: AtVer th :: new_fp s.

  Lemma changes_has_current th s : is_thread s th -> changes (probe_fp th s) s (has_current th s).1.
  Proof.
    intros L. unfold has_current. cbn [fst]. set (x := add_context new_context s).
    assert (is_thread x th) as Lx by exact L.
    eapply changes_in; [apply changes_add | unfold probe_fp; set_solver |]. fold x.
    eapply changes_in; [apply changes_switch, Lx | unfold probe_fp; set_solver |].
    eapply changes_more; [apply changes_switch, is_thread_switch, Lx | unfold probe_fp; set_solver].
  Qed.

  Lemma changes_iterate name i w s : changes [AtIterator i] s (iterate name i w s).1.
  Proof.
    unfold iterate. destruct (names s !! name); [|apply changes_refl].
    destruct (iterators s !! i); [apply changes_refl|].
    apply changes_iterators. intros. apply lookup_insert_ne. congruence.
  Qed.

  Lemma changes_step_iterator i s : changes [AtIterator i] s (next i s).1.
  Proof.
    unfold next. destruct (held_iterator s i) as [it|]; [|apply changes_refl].
    destruct (it_left it) as [|[k b] rest]; [apply changes_refl|].
    apply changes_iterators. intros. apply lookup_insert_ne. congruence.
  Qed.

  Definition drop_fp (o : object) s : list location :=
    match o with
    | ObjectVariable v => [AtVariable v; AtCache v]
    | ObjectToken id => [AtToken id]
    | ObjectContext name =>
        match names s !! name with Some c => [AtName name; AtNameOf c] | None => [] end
    | ObjectIterator i => [AtIterator i]
    | ObjectValue v => [AtValue v]
    | ObjectNone | ObjectMissing => []
    end.

  Lemma changes_drop o s : changes (drop_fp o s) s (drop o s).1.
  Proof.
    unfold drop. destruct (negb _); [apply changes_refl|]. cbn [fst]. destruct o; cbn [drop_fp].
    - apply changes_refl.
    - apply changes_refl.
    - apply changes_values. intros. apply lookup_alter_ne. congruence.
    - apply changes_variables. intros. apply lookup_alter_ne. congruence.
    - apply changes_token. intros. apply lookup_alter_ne. congruence.
    - destruct (names s !! id) as [c|]; [|apply changes_refl].
      set (x := MkContext (ctx_map (context_of s c)) (ctx_entered (context_of s c)) None).
      eapply changes_in with (f := [AtNameOf c]) (s' := put_context c x s);
        [apply changes_context; [right; reflexivity | right; reflexivity | left; left] | set_solver |].
      eapply changes_more; [apply (changes_names _ id); intros; apply lookup_delete_ne; congruence | set_solver].
    - apply changes_iterators. intros. apply lookup_alter_ne. congruence.
  Qed.

  Lemma changes_run_at_once th name c r s : is_thread s th -> names s !! name = Some c ->
    changes (enter_fp th c) s (run_at_once th name r s).1.
  Proof.
    intros L Hn. unfold run_at_once. rewrite Hn. pose proof (changes_enter th c name s L) as C.
    pose proof (is_thread_enter th th c name s L) as L'.
    destruct (enter th c name s) as [s' [e|]]; cbn [fst] in *; [exact C|].
    pose proof (changes_exit th c name s' L') as C'.
    destruct (exit th c name s') as [s2 [e|]]; cbn [fst] in *;
      (eapply changes_in; [exact C | reflexivity | exact C']).
  Qed.

  (** ** The footprint of every operation *)

  Definition on_named (name : context_id) (f : N -> list location) s : list location :=
    match names s !! name with Some c => f c | None => [] end.

  Definition footprint (th : thread_id) (op : operation) s : list location :=
    match op with
    | OpValue _ v => [AtValue v]
    | OpContextVar _ _ _ v | OpCapiVarNew _ _ v => [AtVariable v; AtCache v]
    | OpVarGet v _ | OpCapiVarGet (ObjectVariable v) _ => [AtCache v]
    | OpVarSet v _ id | OpCapiVarSet (ObjectVariable v) _ id => set_fp th v id s
    | OpVarReset _ (ObjectToken id) | OpTokenExit id | OpCapiVarReset _ (ObjectToken id) => reset_fp th id s
    | OpContext name | OpCapiNew name => named_fp name s
    | OpCopyContext name | OpCapiCopyCurrent name =>
        base_fp th s ++ named_fp name (current_or_base th s).1
    | OpContextCopy source name | OpCapiCopy (ObjectContext source) name =>
        on_named source (fun _ => named_fp name s) s
    | OpRun name => on_named name (run_fp th) s
    | OpReturn | OpRaise => return_fp th s
    | OpEnter (ObjectContext name) | OpExit (ObjectContext name)
    | OpAttempt RunWithKeywords (ObjectContext name) | OpAttempt RunNotCallable (ObjectContext name) =>
        on_named name (enter_fp th) s
    | OpIter _ i | OpKeys _ i | OpValues _ i | OpItems _ i | OpNext i => [AtIterator i]
    | OpWeakReference _ r => [AtReference r]
    | OpDrop o => drop_fp o s
    | OpAddWatcher _ _ | OpClearWatcher _ _ => [AtWatchers]
    | OpStartThread made => [AtThread made]
    | OpEndThread => end_fp th s
    | OpSetContextVer _ => [AtVer th]
    | OpHasCurrentContext => probe_fp th s
    | _ => []
    end.

  (** Every operation changes its footprint alone, whether it succeeds or not. *)
  Theorem frame th op s : is_thread s th -> changes (footprint th op s) s (operate through_cache th op s).1.
  Proof.
    intros L. destruct op; cbn [operate footprint]; try apply changes_refl.
    - destruct (values s !! made); [apply changes_refl|].
      apply changes_values. intros. apply lookup_insert_ne. congruence.
    - unfold new_variable. destruct (variables s !! made); [apply changes_refl|].
      apply changes_variables. intros. apply lookup_insert_ne. congruence.
    - apply changes_get.
    - apply changes_set, L.
    - unfold reset_any. destruct (held_variable s variable); [|apply changes_refl].
      destruct token; try apply changes_refl.
      destruct (held_token s id) as [t|] eqn:Ht; [apply changes_reset_held; assumption | apply changes_refl].
    - unfold on_token. destruct (held_token s token); apply changes_refl.
    - unfold on_token. destruct (held_token s token); apply changes_refl.
    - unfold on_token. destruct (held_token s token); apply changes_refl.
    - unfold on_token. destruct (held_token s token) as [t|] eqn:Ht; [apply changes_reset_held; assumption | apply changes_refl].
    - apply changes_name.
    - unfold copy_current. pose proof (changes_base th s L) as C.
      destruct (current_or_base th s) as [s' c]. cbn [fst] in *. eapply changes_trans; [exact C | apply changes_name].
    - unfold on_context, on_named. destruct (names s !! source); [apply changes_name | apply changes_refl].
    - unfold on_named. destruct (names s !! context) eqn:E; [apply changes_run_begin; assumption|].
      unfold run_begin. rewrite E. apply changes_refl.
    - apply changes_run_end, L.
    - apply changes_run_end, L.
    - unfold look_up. destruct (names s !! context); [destruct key|]; apply changes_refl.
    - unfold look_up. destruct (names s !! context); [destruct key|]; apply changes_refl.
    - unfold look_up. destruct (names s !! context); [destruct key|]; apply changes_refl.
    - unfold on_context. destruct (names s !! context); apply changes_refl.
    - apply changes_iterate.
    - apply changes_iterate.
    - apply changes_iterate.
    - apply changes_iterate.
    - apply changes_step_iterator.
    - unfold attempt. destruct (negb _); [apply changes_refl|].
      destruct tried, on; try apply changes_refl; unfold on_named; destruct (names s !! id) eqn:E;
        try (apply changes_run_at_once; assumption); unfold run_at_once; rewrite E; apply changes_refl.
    - unfold weak_reference. destruct (names s !! context); [|apply changes_refl].
      destruct (references s !! made); [apply changes_refl|].
      apply changes_references. intros. apply lookup_insert_ne. congruence.
    - apply changes_drop.
    - apply changes_name.
    - destruct source; try apply changes_refl. unfold on_context, on_named.
      destruct (names s !! id); [apply changes_name | apply changes_refl].
    - unfold copy_current. pose proof (changes_base th s L) as C.
      destruct (current_or_base th s) as [s' c]. cbn [fst] in *. eapply changes_trans; [exact C | apply changes_name].
    - destruct context; try apply changes_refl. unfold on_context, on_named.
      destruct (names s !! id) as [c|]; [|apply changes_refl].
      pose proof (changes_enter th c id s L) as C. unfold answer. destruct (enter th c id s) as [s' [e|]]; exact C.
    - destruct context; try apply changes_refl. unfold on_context, on_named.
      destruct (names s !! id) as [c|]; [|apply changes_refl].
      pose proof (changes_exit th c id s L) as C. unfold answer. destruct (exit th c id s) as [s' [e|]]; exact C.
    - unfold new_variable. destruct (variables s !! made); [apply changes_refl|].
      apply changes_variables. intros. apply lookup_insert_ne. congruence.
    - destruct variable; try apply changes_refl. pose proof (changes_get th id given s) as C.
      destruct (get through_cache th id given s) as [s' o]. destruct o; try exact C. destruct raised; exact C.
    - destruct variable; try apply changes_refl. apply changes_set, L.
    - destruct (is_bound s variable && is_bound s token); [|apply changes_refl].
      destruct variable; try apply changes_refl. destruct token; try apply changes_refl.
      unfold on_token. destruct (held_token s id0) as [t|] eqn:Ht; [apply changes_reset_held; assumption | apply changes_refl].
    - unfold add_watcher. destruct (take_slot made (watchers s)) as [[slots n]|]; [apply changes_watchers | apply changes_refl].
    - unfold clear_watcher. destruct slot as [n|]; [|apply changes_refl].
      destruct (8 <=? n); [apply changes_refl|].
      destruct (watchers s !! N.to_nat n) as [[|]|]; [apply changes_watchers | apply changes_refl ..].
    - unfold start_thread. destruct (threads s !! made) eqn:E; [apply changes_refl|].
      assert (thread_of s made = new_thread) as N by (unfold thread_of; rewrite E; reflexivity).
      apply changes_thread; [left; left | right; rewrite N; auto ..].
    - apply changes_end_thread, L.
    - apply changes_thread; cbn [th_live th_stack th_base th_ver th_switches th_frames];
        [right; apply live_thread, L | right; auto | right; auto | left; left | right; auto].
    - apply changes_has_current, L.
  Qed.
End frame.
